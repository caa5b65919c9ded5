"""A device that is played on the host, to count how often a step would wait for it."""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class OnDevice(torch.Tensor):
    """A tensor that claims to live on a device ("meta") and keeps its values on the host; see `Device`."""

    @staticmethod
    def __new__(cls, values):
        options = {"strides": values.stride(), "storage_offset": values.storage_offset()}
        options |= {"dtype": values.dtype, "device": "meta"}
        tensor = torch.Tensor._make_wrapper_subclass(cls, values.shape, **options)
        tensor.values_on_host = values
        return tensor

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function} outside of `with Device()`")


class Device(TorchDispatchMode):
    """Plays a device next to the CPU: refuses to mix the two, and notes each time the host would wait.

    Waits: copies to the host (`.cpu()`, `.to("cpu")`, `.tolist()`, `host.copy_(device)`), reading one
    number (`.item()`, `bool()`, `float()`), results whose shape depends on values (`nonzero`, boolean
    masks, ...), and linear algebra other than norms, which on CUDA checks its success on the host.
    Host tensors (there the aggregators solve) wait for nobody. This is what a GPU would have to do by
    the operations' meaning; on CUDA itself it is unproven until someone runs it there.
    """

    READS = ("_local_scalar_dense", "is_nonzero", "equal")
    SHAPES = ("nonzero", "masked_select", "unique_consecutive", "_unique2", "unique_dim", "repeat_interleave")
    NORMS = ("linalg_vector_norm", "linalg_matrix_norm")

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, target = function._schema.name.split("::")[1], kwargs.get("device")
        tensors = [a for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        on_device = [t for t in tensors if isinstance(t, OnDevice)]
        on_host = [t for t in tensors if not isinstance(t, OnDevice) and t.ndim]
        copies = name in ("_to_copy", "copy_")
        if on_device and on_host and not copies:
            raise RuntimeError(f"{name}: device and host tensors mixed, {[tuple(t.shape) for t in on_host]}")
        if on_device:
            self.note(name, args, target)
        result_on_device = bool(on_device) if target is None else torch.device(target).type == "meta"
        if target is not None:
            kwargs = {**kwargs, "device": "cpu"}
        args_, kwargs_ = tree_map(lambda a: getattr(a, "values_on_host", a), (args, kwargs))
        result = function(*args_, **kwargs_)
        if result is None or (name.endswith("_") and not name.startswith("_")):
            return result if result is None else args[0]
        wrap = result_on_device and name not in self.READS
        return tree_map(lambda r: OnDevice(r) if wrap and isinstance(r, torch.Tensor) else r, result)

    def note(self, name, args, target):
        to_host = target is not None and torch.device(target).type == "cpu"
        to_host |= name == "copy_" and not isinstance(args[0], OnDevice)
        masks = name.startswith("index") and any(
            isinstance(a, torch.Tensor) and a.dtype == torch.bool for a in tree_leaves(args[1:2])
        )
        algebra = name.lstrip("_").startswith("linalg") and name not in self.NORMS
        if to_host or masks or algebra or name in self.READS + self.SHAPES:
            self.waits.append("copy to the host" if to_host else name)


def put_on_device(module):
    for m in module.modules():
        for name, p in m._parameters.items():
            m._parameters[name] = nn.Parameter(OnDevice(p.detach()), requires_grad=p.requires_grad)
        for name, b in m._buffers.items():
            m._buffers[name] = OnDevice(b)
