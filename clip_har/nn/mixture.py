"""The ensemble as one module: what its members say of the same frame embeddings, weighed.

B clips, T frames, D embedding, K classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clip_har.ensemble import Ensemble, EnsembleMember
from clip_har.nn.head import probabilities
from clip_har.nn.model import CLIPHARModel, Recognition


class Mixture(nn.Module):
    """Frame embeddings (B, T, D) and their seconds (B, T) to probabilities (B, K)."""

    class_texts: Tensor

    def __init__(
        self, ensemble: Ensemble, models: Mapping[str, CLIPHARModel], class_texts: Tensor
    ) -> None:
        """`models` are those of the members, by the name of their checkpoint.

        `class_texts` are unit text embeddings of the classes, (K, D), for members that read them.
        """
        super().__init__()
        self.ensemble = ensemble
        self.models = nn.ModuleDict(dict(models))
        self.register_buffer("class_texts", class_texts)

    def forward(self, frame_embeds: Tensor, times: Tensor) -> Tensor:
        """The weighted sum of the members' probabilities, (B, K)."""
        logits = self.logits(frame_embeds, times)
        parts = [
            member.weight * probabilities(logits[member.name], member.temperature)
            for member in self.heard()
        ]
        return torch.stack(parts).sum(dim=0)

    def logits(self, frame_embeds: Tensor, times: Tensor) -> dict[str, Tensor]:
        """What each member that counts says before its temperature, (B, K), by its name."""
        heard = self.heard()
        seen = {
            checkpoint: self._model(checkpoint).recognise(frame_embeds, times)
            for checkpoint in dict.fromkeys(member.checkpoint for member in heard)
        }
        return {member.name: self._logits(member, seen[member.checkpoint]) for member in heard}

    def heard(self) -> list[EnsembleMember]:
        """The members whose weight is not zero."""
        return [member for member in self.ensemble.members if member.weight]

    def set_temperatures(self, temperatures: Mapping[str, float]) -> None:
        """Makes them the members' own, by name."""
        self.ensemble = Ensemble(
            members=tuple(
                member.model_copy(
                    update={"temperature": temperatures.get(member.name, member.temperature)}
                )
                for member in self.ensemble.members
            )
        )

    def _logits(self, member: EnsembleMember, seen: Recognition) -> Tensor:
        if member.reads == "head":
            return seen.logits
        return self._model(member.checkpoint).text_logits(seen.embedding, self.class_texts)

    def _model(self, checkpoint: str) -> CLIPHARModel:
        model = self.models[checkpoint]
        assert isinstance(model, CLIPHARModel)
        return model
