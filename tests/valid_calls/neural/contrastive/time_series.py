"""Valid calls of neural.contrastive.time_series."""

import torch

from neural.contrastive.time_series import PairedSeries, SeriesViews
from tests.bad_inputs import Fresh

_GENERATOR = torch.Generator()
_SERIES = {"series": torch.arange(24.0).reshape(3, 2, 4), "generator": _GENERATOR}
_NONE = torch.zeros(3, dtype=torch.bool)


def _pairs() -> PairedSeries:
    return PairedSeries(_SERIES["series"], _NONE, _NONE)


CALLS = {
    "carriers": {"samples": 3, "length": 8, "noise": 0.3, "generator": _GENERATOR},
    "heartbeats": {"samples": 3, "length": 8, "noise": 0.1, "generator": _GENERATOR},
    "scale_channels": {**_SERIES, "deviation": 0.2},
    "jitter": {**_SERIES, "deviation": 0.2},
    "shift_circularly": {**_SERIES, "largest": 0.5},
    "permute_segments": {**_SERIES, "most": 2},
    "SeriesViews": {"scale": 0.2, "jitter": 0.2, "shift": 1.0, "segments": 2},
    "PairedSeries.views": {"index": torch.tensor([2, 0]), "make": SeriesViews(), "generator": _GENERATOR},
    "inject_bad_pairs": {
        **_SERIES, "noisy": 0.3, "faulty": 0.3, "signal": 0.3, "noise": 1.5, "fault": "noise",
    },
    "SeriesEncoderEnsemble": {
        "models": 2, "channels": 2, "generator": Fresh(torch.Generator), "kernel": 3, "stride": 2, "blocks": 1,
    },
    "SeriesEncoderEnsemble.forward": {"series": _SERIES["series"]},
}  # fmt: skip
ACCEPTED = {("SeriesEncoderEnsemble", "blocks", "zero"): "no residual convolutions"}
INSTANCES = {"PairedSeries": _pairs}
