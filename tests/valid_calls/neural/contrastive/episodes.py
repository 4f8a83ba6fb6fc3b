"""Valid calls of neural.contrastive.episodes."""

import torch

from neural.contrastive.episodes import ConvolutionEnsemble, EpisodeSampler, PerceptronEnsemble, ProtoNet
from tests.bad_inputs import Fresh

_LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
_ROWS = torch.arange(18.0).reshape(9, 2) / 9
_SUPPORT = torch.tensor([[0.0, 0.1], [0.2, 1.0], [2.0, 0.0], [2.2, 1.1]])
_SUPPORT_LABELS = torch.tensor([0, 0, 1, 1])
_PROTOTYPES = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
_GENERATOR = Fresh(lambda: torch.Generator().manual_seed(0))

CALLS = {
    "EpisodeSampler": {"labels": _LABELS, "way": 2, "shot": 1, "query": 2},
    "EpisodeSampler.draw": {"episodes": 3, "generator": _GENERATOR},
    "sample_episode": {"X": _ROWS, "y": _LABELS, "way": 2, "shot": 1, "query": 2, "generator": _GENERATOR},
    "prototypes": {"support": _SUPPORT, "labels": _SUPPORT_LABELS},
    "prototype_logits": {"queries": _SUPPORT, "prototypes": _PROTOTYPES, "temperature": 2.0},
    "ProtoNet": {"encoder": torch.nn.Linear(2, 3), "temperature": 2.0},
    "ProtoNet.forward": {"support": _SUPPORT, "support_labels": _SUPPORT_LABELS, "query": _SUPPORT[:3]},
    "episode_accuracy": {
        "embeddings": _ROWS[None],
        "episodes": EpisodeSampler(_LABELS, 2, 1, 2).draw(3, torch.Generator().manual_seed(0)),
    },
    "PerceptronEnsemble": {"models": 2, "features": 4, "width": 3, "dim": 2, "generator": _GENERATOR},
    "PerceptronEnsemble.forward": {"x": torch.ones(2, 5, 4)},
    "ConvolutionEnsemble": {"models": 2, "side": 4, "channels": 3, "generator": _GENERATOR, "blocks": 2},
    "ConvolutionEnsemble.forward": {"x": torch.ones(2, 5, 16)},
}
INSTANCES = {
    "EpisodeSampler": lambda: EpisodeSampler(_LABELS, 2, 1, 2),
    "ProtoNet": lambda: ProtoNet(torch.nn.Linear(2, 3)),
    "PerceptronEnsemble": lambda: PerceptronEnsemble(2, 4, generator=torch.Generator()),
    "ConvolutionEnsemble": lambda: ConvolutionEnsemble(2, 4, channels=3, generator=torch.Generator()),
}
ACCEPTED = {}
