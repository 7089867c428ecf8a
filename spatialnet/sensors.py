"""Sensors: named bands with wavelengths, and the registry of the ones that SpatialNet knows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from spatialnet.errors import BandsDoNotMatch

SensorKind = Literal["optical", "sar", "elevation"]


@dataclass(frozen=True)
class Sensor:
    """Named bands of one instrument.

    Attributes:
        name: identifier, `[a-z][a-z0-9_]*`.
        kind: `optical`, `sar` or `elevation`; decides augmentation and how weights from RGB are mapped.
        bands: band names in file order.
        wavelengths_nm: centre wavelength per band in nanometres; 0 where a wavelength has no meaning (SAR, elevation).
        gsd_m: nominal ground sample distance in metres per pixel.
        title: what people read.
    """

    name: str
    kind: SensorKind
    bands: tuple[str, ...]
    wavelengths_nm: tuple[float, ...]
    gsd_m: float
    title: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(SensorKind):
            raise BandsDoNotMatch(
                f"Sensor {self.name} has kind {self.kind!r}. Use one of {', '.join(get_args(SensorKind))}."
            )
        if not self.bands or len(self.bands) != len(self.wavelengths_nm):
            raise BandsDoNotMatch(
                f"Sensor {self.name} has {len(self.bands)} bands and {len(self.wavelengths_nm)} wavelengths. "
                "Give one for each band."
            )
        if self.gsd_m <= 0:
            raise BandsDoNotMatch(
                f"Sensor {self.name} has a ground sample distance of {self.gsd_m} m. Give metres above 0."
            )

    @property
    def label(self) -> str:
        """What people read: the title, or the name with spaces."""
        return self.title or self.name.replace("_", " ")

    def rgb(self) -> tuple[int, int, int]:
        """Indices (from 0) of the bands nearest to red, green and blue; the first bands for SAR and elevation."""
        if self.kind != "optical":
            last = len(self.bands) - 1
            return (0, min(1, last), 0)
        distances = [[abs(w - target) for w in self.wavelengths_nm] for target in (660, 560, 480)]
        red, green, blue = (row.index(min(row)) for row in distances)
        return (red, green, blue)

    def composites(self) -> dict[str, tuple[int, int, int]]:
        """Named band triples (indices from 0) that help the eye: true colour, and false colours where bands allow."""
        named = {"True colour": self.rgb()} if self.kind == "optical" else {self.label: self.rgb()}

        def nearest(target: float, tolerance: float) -> int | None:
            near = [(abs(w - target), i) for i, w in enumerate(self.wavelengths_nm) if abs(w - target) <= tolerance]
            return min(near)[1] if near else None

        red, green = nearest(660, 60), nearest(560, 60)
        infrared, shortwave = nearest(840, 80), nearest(1630, 120)
        if infrared is not None and red is not None and green is not None:
            named["Colour infrared"] = (infrared, red, green)
        if shortwave is not None and infrared is not None and red is not None:
            named["Short-wave infrared"] = (shortwave, infrared, red)
        return named

    def to_dict(self) -> dict[str, Any]:
        """The sensor as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Sensor:
        """The sensor that `to_dict` wrote."""
        return cls(
            name=str(values["name"]),
            kind=values["kind"],
            bands=tuple(values["bands"]),
            wavelengths_nm=tuple(float(w) for w in values["wavelengths_nm"]),
            gsd_m=float(values["gsd_m"]),
            title=str(values.get("title", "")),
        )


# Sentinel-2 centres: means of the S2A spectral response functions; B8A and longer are nominal.
_S2 = {
    "B01": 442.9, "B02": 493.0, "B03": 559.6, "B04": 664.6, "B05": 704.0, "B06": 740.6, "B07": 782.4,
    "B08": 827.5, "B8A": 865.0, "B09": 945.0, "B10": 1374.0, "B11": 1614.0, "B12": 2202.0,
}  # fmt: skip


def _s2(name: str, title: str, bands: tuple[str, ...]) -> Sensor:
    return Sensor(name, "optical", bands, tuple(_S2[b] for b in bands), 10.0, title)


SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        Sensor("rgb", "optical", ("red", "green", "blue"), (665.0, 560.0, 490.0), 1.0, "RGB"),
        Sensor("naip", "optical", ("red", "green", "blue", "nir"), (650.0, 550.0, 470.0, 840.0), 1.0, "NAIP"),
        Sensor(
            "landsat7", "optical", ("B1", "B2", "B3", "B4", "B5", "B7"),
            (477.0, 560.0, 661.0, 835.0, 1648.0, 2206.0), 30.0, "Landsat 7 ETM+",
        ),
        _s2("sentinel2_l1c", "Sentinel-2 L1C", tuple(_S2)),
        _s2("sentinel2_l2a", "Sentinel-2 L2A", tuple(b for b in _S2 if b != "B10")),
        _s2("sentinel2_10", "Sentinel-2, ten bands", tuple(b for b in _S2 if b not in ("B01", "B09", "B10"))),
        Sensor("sentinel1", "sar", ("VV", "VH"), (0.0, 0.0), 10.0, "Sentinel-1"),
        Sensor(
            "sentinel1_so2sat", "sar",
            (
                "VH_real", "VH_imaginary", "VV_real", "VV_imaginary", "VH_intensity_lee", "VV_intensity_lee",
                "covariance_real_lee", "covariance_imaginary_lee",
            ),
            (0.0,) * 8, 10.0, "Sentinel-1 (So2Sat)",
        ),
        Sensor("elevation", "elevation", ("elevation",), (0.0,), 30.0, "Elevation"),
    )
}  # fmt: skip
"""Sensors by name. Landsat 7 and Sentinel-2 centre wavelengths are the operators' published ones."""
