# ---
# title: Perceptron and support vector machines
# rows: ["perceptron$", "support vector machines"]
# ---

# %% [markdown]
# # Perceptron and support vector machines
#
# The perceptron is the oldest learner that learns from its mistakes: where it is wrong on an
# example with label $y \in \{-1, 1\}$, it adds $\eta\, y\, x$ to its weights, and otherwise leaves
# them. If some line separates the classes it stops after finitely many mistakes; if none does, as
# in XOR, it never settles, and the average of all its weights is the better answer.
#
# A support vector machine looks for the line with the widest margin instead, and pays for points on
# the wrong side:
#
# $$\min_{w, b} \; \tfrac12 \lVert w \rVert^2 + C \sum_i \max(0, 1 - y_i (w^\top x_i + b))$$
#
# Its solution is a sum over some of the examples, the support vectors, in which data appear only as
# products of two points. A *kernel* $k(x, x')$ in place of these products is a product in a space
# of many more dimensions, for the price of the small one: $\exp(-\gamma \lVert x - x' \rVert^2)$
# bends the line around any shape.

# %% alt="A ring around a disk: a line cannot separate them, a kernel machine does"
import numpy as np

from jaxdl import classical, ops, plots

generator = np.random.default_rng(0)
x = generator.uniform(-1, 1, (200, 2)).astype(np.float32)
y = np.where(np.sum(x**2, axis=1) > 0.4, 1.0, -1.0).astype(np.float32)
line, _ = classical.fit_linear_svm(x, y)
curve, _ = classical.fit_kernel_svm(
    x, y, lambda a, b: ops.rbf_kernel(a, b, gamma=2.0)
)
straight = lambda points: classical.linear(line, points) > 0
bent = lambda points: classical.kernel_machine(curve, points) > 0
plots.regions({"linear": (straight, x, y > 0), "rbf kernel": (bent, x, y > 0)})
