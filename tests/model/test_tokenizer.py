import pytest
import torch

from spatialnet.errors import BandsDoNotMatch
from spatialnet.model.tokenizer import Tokenizer, kernel_from_rgb
from spatialnet.sensors import SENSORS

RGB = torch.stack([torch.full((4, 2, 2), value) for value in (1.0, 2.0, 3.0)], 1)  # (dim 4, channels, 2, 2)


def test_red_green_and_blue_kernels_go_to_the_bands_of_their_wavelength():
    kernel = kernel_from_rgb(RGB, SENSORS["sentinel2_l1c"])
    bands = SENSORS["sentinel2_l1c"].bands
    by_band = {band: kernel[0, i, 0, 0].item() for i, band in enumerate(bands)}
    assert (by_band["B04"], by_band["B03"], by_band["B02"]) == (1.0, 2.0, 3.0)
    assert by_band["B01"] == by_band["B08"] == pytest.approx(2.0 * 3 / 13)


def test_rgb_itself_is_unchanged_and_radar_gets_the_mean():
    assert torch.equal(kernel_from_rgb(RGB, SENSORS["rgb"]), RGB)
    assert torch.equal(kernel_from_rgb(RGB, SENSORS["sentinel1"]), torch.full((4, 2, 2, 2), 2.0))


def test_a_sensor_without_visible_bands_gets_no_visible_kernel():
    from spatialnet.sensors import Sensor

    infrared = Sensor("swir", "optical", ("a", "b"), (1610.0, 2200.0), 20.0)
    assert torch.equal(kernel_from_rgb(RGB, infrared), torch.full((4, 2, 2, 2), 3.0))


def test_pictures_of_another_resolution_land_on_the_same_grid():
    tokenizer = Tokenizer(SENSORS["sentinel1"], 8, 4)
    assert tokenizer(torch.randn(2, 2, 16, 16), (4, 4)).shape == (2, 8, 4, 4)
    assert tokenizer(torch.randn(2, 2, 8, 8), (4, 4)).shape == (2, 8, 4, 4)
    with pytest.raises(BandsDoNotMatch, match="2 bands"):
        tokenizer(torch.randn(2, 3, 16, 16), (4, 4))
