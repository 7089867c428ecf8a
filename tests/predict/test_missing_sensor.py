"""A sensor that is left out at prediction leaves no trace in the answers."""

import numpy as np
import pytest

from spatialnet.errors import PredictionRefused
from spatialnet.predict.chips import predict_chips


def test_a_sensor_that_is_left_out_counts_as_absent_from_every_chip(make_model, landscape_stack):
    model, rows = make_model(landscape_stack), np.arange(12)
    less = predict_chips(model, landscape_stack, rows, without=["sentinel1"])
    whole = predict_chips(model, landscape_stack, rows)
    assert np.abs(less["land_use"] - whole["land_use"]).max() > 1e-3
    model.sensors = {name: sensor for name, sensor in model.sensors.items() if name != "sentinel1"}
    assert less["land_use"] == pytest.approx(predict_chips(model, landscape_stack, rows)["land_use"], abs=1e-6)


def test_no_sensor_left_is_one_sentence(make_model, landscape_stack):
    model = make_model(landscape_stack)
    with pytest.raises(PredictionRefused, match="Leave at least one sensor"):
        predict_chips(model, landscape_stack, without=list(model.sensors))
