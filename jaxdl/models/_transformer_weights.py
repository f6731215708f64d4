"""Published names of transformers' weights: GPT-2's, and those of timm's ViT."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.models.transformer import Transformer, ViT

_OF_GPT2 = {  # ours of a block: theirs
    "norm1": "ln_1", "norm2": "ln_2", "out": "attn.c_proj", "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}  # fmt: skip
_OF_VIT = {"norm1": "norm1", "norm2": "norm2", "out": "attn.proj", "up": "mlp.fc1"}
_OF_VIT["down"] = "mlp.fc2"


def gpt2_from_torch(state: dict[str, np.ndarray], model: Transformer) -> dict[str, Any]:
    """Parameters of `Transformer` from the published names of GPT-2 ("h.0.attn.c_attn.weight").

    >>> model = Transformer(3, context=2, dim=2, num_layers=1, num_heads=1)
    >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), int), train=False)["params"]
    >>> back = gpt2_from_torch(gpt2_to_torch(params), model)
    >>> jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, back))
    True

    Args:
        state: arrays by name, from `weights.read_state_dict`; a leading "transformer." is ignored.
        model: how many layers there are.
    Raises: ValueError naming the first array that is missing.
    """
    arrays = {name.removeprefix("transformer."): x for name, x in state.items()}

    def get(name: str) -> np.ndarray:
        if name not in arrays:
            raise ValueError(f"GPT-2's weights have no {name!r}; there are {sorted(arrays)[:4]}...")
        return np.asarray(arrays[name])

    def layer(i: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for ours, theirs in _OF_GPT2.items():
            leaf = "scale" if ours.startswith("norm") else "kernel"
            weight, offset = get(f"h.{i}.{theirs}.weight"), get(f"h.{i}.{theirs}.bias")
            found[ours] = {leaf: weight, "bias": offset}
        kernels = np.split(get(f"h.{i}.attn.c_attn.weight"), 3, axis=1)  # [in, out] there as here
        biases = np.split(get(f"h.{i}.attn.c_attn.bias"), 3)
        for name, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            found[name] = {"kernel": kernel, "bias": bias}
        return found

    layers = [layer(i) for i in range(model.num_layers)]
    params = {
        "embed": {"embedding": get("wte.weight")},
        "positions": get("wpe.weight"),
        "norm": {"scale": get("ln_f.weight"), "bias": get("ln_f.bias")},
        "stack": {"block": jax.tree.map(lambda *x: np.stack(x), *layers)},
    }
    return jax.tree.map(jnp.asarray, params)


def gpt2_to_torch(params: dict[str, Any]) -> dict[str, np.ndarray]:
    """The published names of GPT-2 for the parameters of a `Transformer` of its form."""
    block = jax.tree.map(np.asarray, params["stack"]["block"])
    state: dict[str, Any] = {
        "wte.weight": params["embed"]["embedding"],
        "wpe.weight": params["positions"],
        "ln_f.weight": params["norm"]["scale"],
        "ln_f.bias": params["norm"]["bias"],
    }
    for i in range(len(block["norm1"]["bias"])):
        for ours, theirs in _OF_GPT2.items():
            kernel = "scale" if ours.startswith("norm") else "kernel"
            state[f"h.{i}.{theirs}.weight"] = block[ours][kernel][i]
            state[f"h.{i}.{theirs}.bias"] = block[ours]["bias"][i]
        three = [block[name] for name in ("query", "key", "value")]
        kernels = [x["kernel"][i] for x in three]
        state[f"h.{i}.attn.c_attn.weight"] = np.concatenate(kernels, axis=1)
        state[f"h.{i}.attn.c_attn.bias"] = np.concatenate([x["bias"][i] for x in three])
    return {name: np.asarray(x) for name, x in state.items()}


def vit_from_torch(state: dict[str, np.ndarray], model: ViT) -> dict[str, Any]:
    """Parameters of `ViT` from the names of timm ("blocks.0.attn.qkv.weight").

    Raises: ValueError naming the first array that is missing.
    """

    def get(name: str) -> np.ndarray:
        if name not in state:
            raise ValueError(f"ViT's weights have no {name!r}; there are {sorted(state)[:4]}...")
        return np.asarray(state[name])

    def dense(name: str) -> dict[str, np.ndarray]:
        return {"kernel": get(f"{name}.weight").T, "bias": get(f"{name}.bias")}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": get(f"{name}.weight"), "bias": get(f"{name}.bias")}

    def layer(i: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            ours: (norm if ours.startswith("norm") else dense)(f"blocks.{i}.{theirs}")
            for ours, theirs in _OF_VIT.items()
        }
        kernels = np.split(get(f"blocks.{i}.attn.qkv.weight"), 3)
        biases = np.split(get(f"blocks.{i}.attn.qkv.bias"), 3)
        for name, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            found[name] = {"kernel": kernel.T, "bias": bias}
        return found

    layers = [layer(i) for i in range(model.num_layers)]
    patches = get("patch_embed.proj.weight").transpose(2, 3, 1, 0)
    params = {
        "patches": {"kernel": patches, "bias": get("patch_embed.proj.bias")},
        "class_token": get("cls_token"),
        "positions": get("pos_embed")[0],
        "norm": norm("norm"),
        "head": dense("head"),
        "stack": {"block": jax.tree.map(lambda *x: np.stack(x), *layers)},
    }
    return jax.tree.map(jnp.asarray, params)


def vit_to_torch(params: dict[str, Any]) -> dict[str, np.ndarray]:
    """The names of timm for the parameters of a `ViT`."""
    block = jax.tree.map(np.asarray, params["stack"]["block"])

    def dense(name: str, x: Any) -> dict[str, Any]:
        return {f"{name}.weight": x["kernel"].T, f"{name}.bias": x["bias"]}

    def norm(name: str, x: Any) -> dict[str, Any]:
        return {f"{name}.weight": x["scale"], f"{name}.bias": x["bias"]}

    patches = params["patches"]
    state: dict[str, Any] = {
        "patch_embed.proj.weight": jnp.transpose(patches["kernel"], (3, 2, 0, 1)),
        "patch_embed.proj.bias": patches["bias"],
        "cls_token": params["class_token"],
        "pos_embed": params["positions"][None],
        **norm("norm", params["norm"]),
        **dense("head", params["head"]),
    }
    for i in range(len(block["norm1"]["bias"])):
        layer = jax.tree.map(lambda x, i=i: x[i], block)
        for ours, theirs in _OF_VIT.items():
            named = norm if ours.startswith("norm") else dense
            state |= named(f"blocks.{i}.{theirs}", layer[ours])
        three = [layer[name] for name in ("query", "key", "value")]
        qkv = {name: np.concatenate([x[name] for x in three], axis=-1) for name in three[0]}
        state |= dense(f"blocks.{i}.attn.qkv", qkv)
    return {name: np.asarray(x) for name, x in state.items()}
