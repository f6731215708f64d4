"""Many devices, many processes.

`jit` over whole arrays with shardings is the way (`Layout`, which `train.fit` takes); the explicit
form, code for one device under `shard_map`, is there for scripts that want it (`psum_objective`,
`per_device`, `pmap`). Either gives the training of one device, to rounding.
"""

from jaxdl.parallel._elastic import supervise
from jaxdl.parallel._mesh import Layout, auto_layout, make_mesh
from jaxdl.parallel._per_device import all_reduce, per_device, pmap, psum_objective
from jaxdl.parallel._processes import Launch, agree, end_together, initialize, is_peer_failure
from jaxdl.parallel._rules import model_rules

__all__ = [
    "Launch",
    "Layout",
    "agree",
    "all_reduce",
    "auto_layout",
    "end_together",
    "initialize",
    "is_peer_failure",
    "make_mesh",
    "model_rules",
    "per_device",
    "pmap",
    "psum_objective",
    "supervise",
]
