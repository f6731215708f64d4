"""What is installed here, which devices JAX sees, and where to go on: `python -m jaxdl`."""

import importlib.util
import platform

import jaxdl

# An extra, a module that shows that it is there, and what it is for.
EXTRAS = {
    "gpu": ("jax_cuda12_plugin", "training on NVIDIA GPUs"),
    "tpu": ("libtpu", "training on TPUs"),
    "plan-gpu": ("jax_cuda12_plugin", "plans for GPUs that are not there"),
    "plan-tpu": ("libtpu", "plans for TPUs that are not there"),
    "proposals": ("cv2", "selective search in fast_rcnn"),
    "text": ("sacrebleu", "BLEU as it is published"),
    "export": ("flatbuffers", "models that leave as one file (jax.export)"),
    "test": ("pytest", "the tests"),
    "reference": ("torch", "the tests that compare with PyTorch; .pth files need none"),
}


def main() -> None:
    """Prints it."""
    import flax
    import jax
    import rich

    print_ = rich.get_console().print
    print_(
        f"[bold]jaxdl {jaxdl.__version__}[/bold]  jax {jax.__version__}  flax {flax.__version__}  "
        f"Python {platform.python_version()}",
        highlight=False,
    )
    kinds = sorted({device.device_kind for device in jax.devices()})
    print_(
        f"devices: {jax.device_count()} x {', '.join(kinds)} ({jax.default_backend()})",
        highlight=False,
    )
    print_("extras:", highlight=False)
    for name, (module, what) in EXTRAS.items():
        here = importlib.util.find_spec(module) is not None
        print_(f"  {'[green]yes[/]' if here else ' - '} {name:10} {what}", highlight=False)
    print_(
        "\npython -m experiments            what there is to run (in a checkout)\n"
        "python -m jaxdl.new NAME DIR     an experiment of your own to start from\n"
        "python -m jaxdl.runs list        runs so far\n"
        "python -m jaxdl.bench plan ...   a training step on a machine that is not there",
        highlight=False,
    )


if __name__ == "__main__":
    main()
