# %% [markdown]
# # From PyTorch
#
# Most of what you know has a name here. What is different comes from one decision: nothing changes in
# place. A model holds no parameters, an optimizer no state, a metric no running total. You hold them,
# pass them in, and get the new ones back. That is what lets `jit`, `grad` and `vmap` work on all of it.
#
# | in PyTorch | here |
# |---|---|
# | `model = Net()`; `model(x)` | `params = model.init(key, x)`; `model.apply(params, x)` |
# | `model.parameters()`, `model.state_dict()` | `params`, a nested dict of arrays |
# | `model.to("cuda")` | nothing: arrays are on the accelerator if there is one |
# | `model.train()`, `model.eval()` | `train=True`, `train=False` at the call |
# | `loss.backward()` | `jax.grad(loss)(params)` |
# | `optimizer.step()`, `zero_grad()` | `updates, opt_state = tx.update(grads, opt_state, params)` |
# | `torch.no_grad()` | nothing: a gradient is computed where you ask for one |
# | `torch.manual_seed(0)` | `key = jax.random.key(0)`, an argument |
# | `DataLoader(shuffle=True, drop_last=...)` | `data.batches(split, 128, seed=0)`, with a mask |
# | `F.cross_entropy(logits, y)` (a mean) | `losses.softmax_cross_entropy(logits, y)` (one each) |
# | `torchmetrics.Accuracy()` | `metrics.Accuracy.from_batch(logits, y, mask)` |
# | `DistributedDataParallel`, `FSDP` | `parallel.Layout`, [one argument](many_devices.md) |
# | `torch.compile` | `jax.jit` |
# | images `[B, C, H, W]` | images `[B, H, W, C]` |
# | `lr_scheduler.step()` | a schedule is a function of the step, given to the optimizer |
#
# ## The same layer, to the last digits
#
# Same weights, same input, same numbers. torch keeps dense weights `[out, in]` and kernels
# `[O, C, h, w]`; we have `[in, out]` and `[h, w, C, O]`.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import data, losses, metrics, models, ops, plots

generator = np.random.default_rng(0)
images = generator.normal(size=(2, 3, 8, 8)).astype(np.float32)  # as torch has them
kernel = generator.normal(size=(4, 3, 3, 3)).astype(np.float32)  # [O, C, h, w]
ours = ops.conv(
    jnp.asarray(images.transpose(0, 2, 3, 1)),
    jnp.asarray(kernel.transpose(2, 3, 1, 0)),
    padding=1,
)
print("ours, [B, H, W, C]:", ours.shape)

# %% [markdown]
# In torch these are `F.conv2d(images, kernel, padding=1).permute(0, 2, 3, 1)`; the tests of this
# library compare both, values and gradients, at every stride and padding
# ([`ops/test_convolution.py`](../sources/tests/ops/test_convolution.md)).
#
# ## The loop you would write
#
# You know the training loop by heart. Here it is, with nothing hidden:

# %%
splits = data.load("digits")
model = models.MLP((64, 10))
tx = optax.adam(3e-3)
params = model.init(jax.random.key(0), jnp.zeros((1, 64)), train=False)
opt_state = tx.init(params)


def forward(params, batch):
    x = jnp.reshape(batch["image"], (len(batch["image"]), -1)) / 255.0
    return model.apply(params, x, train=True)


def mean_loss(params, batch):
    loss = losses.softmax_cross_entropy(
        forward(params, batch), batch["label"]
    )  # [B]
    return metrics.Mean.from_values(loss, batch["mask"]).compute()


@jax.jit
def step(params, opt_state, batch):
    loss, grads = jax.value_and_grad(mean_loss)(params, batch)
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


@jax.jit
def score(params, batch):
    return metrics.Accuracy.from_batch(
        forward(params, batch), batch["label"], batch["mask"]
    )


history = []
for epoch in range(15):
    for batch in data.batches(splits["train"].take(slice(None)), 32, seed=epoch):
        params, opt_state, loss = step(params, opt_state, batch)
    accuracy = metrics.Accuracy.empty()
    for batch in data.batches(
        splits["test"], 128
    ):  # every example once, the last batch padded
        accuracy = accuracy.merge(score(params, batch))
    history.append(
        {
            "epoch": epoch + 1,
            "train/loss": float(loss),
            "test/accuracy": float(accuracy.compute()),
        }
    )

# %% alt="Loss of the last batch and test accuracy, epoch by epoch, of the loop written by hand"
plots.curves(history)

# %% [markdown]
# `train.make` and `train.fit` are that loop with what is easy to get wrong in it: resume, batch
# statistics, accumulation, non-finite steps, many devices. `python -m experiments.by_hand` is LeNet
# without them.
#
# ## What to watch for
#
# - **Default numbers differ.** Adam's epsilon, the momentum of batch norm, the place of the rate in
#   momentum: [who does what](../conventions.md) has them line by line.
# - **A key is used once.** Split it, or fold a number into it: `jax.random.fold_in(key, step)`.
# - **Shapes are fixed while compiling.** A new shape compiles again; that is why batches are padded.
# - **Weights** of torchvision go [in and out](weights.md).
# - `print` inside a jitted function shows a tracer; `jax.debug.print` shows numbers.
