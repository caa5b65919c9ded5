"""The radii ρ of the paper (arXiv 2211.13723), method by method, as far as its authors published them.

The paper's text gives none for a row. All of them were read in the code (github.com/VietHoang1512/FS-MTL at
1371ec5) and in the logs of the authors. One radius serves trunk and heads.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Radius:
    """A published radius.

    Attributes:
        rho: the radius.
        adaptive: whether it is a radius of adaptive SAM.
        source: where it was read.
    """

    rho: float
    adaptive: bool
    source: str

    def __str__(self) -> str:
        return f"{'adaptive ' * self.adaptive}ρ = {self.rho:g} ({self.source})"


ANY = "any"  # the radius of every method with SAM
# experiment -> method -> radius
RADII = {
    "multimnist": {ANY: Radius(2.0, True, "multi-mnist/run.sh and the settings of all 36 logs")},
    "nyuv2": {"f-pcgrad": Radius(0.05, False, "a path in nyuv2/get_result.py; whether adaptive is unknown")},
}
# not an experiment here; the figures show how far apart the authors' radii lie on scenes
CITYSCAPES = {
    "f-mgda": Radius(0.0025, False, "a path in city2scape/get_result.py"),
    "f-mean": Radius(0.001, False, "city2scape/train.log"),
    "f-imtl_g": Radius(0.0003, True, "city2scape/bash.sh of the review copy"),
}
SCENES = (
    "On scenes the radius belongs to the method: for CityScapes the authors took "
    + "; ".join(f"{method}: {radius}" for method, radius in CITYSCAPES.items())
    + ". Of NYUv2 only F-PCGrad's is known, and the preset takes it for every method."
)


def published_radius(experiment: str, method: str) -> Radius | None:
    """Return the published radius of a method, or None if none is known or the method has no SAM.

    Example:
        >>> str(published_radius("nyuv2", "f-pcgrad"))
        'ρ = 0.05 (a path in nyuv2/get_result.py; whether adaptive is unknown)'
        >>> published_radius("nyuv2", "f-mgda"), published_radius("multimnist", "cagrad")
        (None, None)
    """
    prefix, _, _ = method.rpartition("-")
    if prefix in ("", "noise"):
        return None
    radii = RADII.get(experiment, {})
    return radii.get(method) or radii.get(ANY)
