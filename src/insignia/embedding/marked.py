"""What embedding gives back: the marked model and its report."""

from insignia.embedding.embed_report import EmbedReport
from insignia.modeling.local import LocalModel

__all__ = ["MarkedModel"]


class MarkedModel(LocalModel):
    """What ``embed`` gives back: the marked model in memory, as it is published, and how marking went."""

    report: EmbedReport

    def __repr__(self) -> str:
        return f"{self.name}: {self.report}"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()
