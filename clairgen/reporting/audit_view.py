"""The audit for spurious cues in a terminal: a sentence, and the features that chosen answers have more or less of."""

from rich import box
from rich.table import Table
from rich.text import Text

from clairgen.reporting.shortcut_audit import Audit, Shift

AUDIT_HINT = "install scikit-learn with pip install 'clairgen[report]'"
MOST_SHOWN = 6


def audit_words(audit: Audit, name: Text) -> Text:
    """What the audit found, in a sentence."""
    low, high = audit.interval
    words = Text("Surface features of ").append_text(name)
    words.append(
        f": an AUC of {audit.auc:.3f} (95% interval {low:.3f} to {high:.3f}) for telling chosen from rejected by counts alone, "
        f"out of fold over {audit.n:,} kept pairs, where 0.5 tells nothing: "
    )
    if audit.tells_apart:
        return words.append("a reward model can learn these instead of quality.", "bold")
    return words.append("no more than chance may do.")


def shown(audit: Audit) -> list[Shift]:
    """The features worth a look: those that carry the model first, and among the others those that shift clearly."""
    telling = [shift for shift in audit.shifts if shift.clear or (audit.tells_apart and shift.carries > 0.005)]
    return telling[:MOST_SHOWN]


def audit_table(audit: Audit) -> Table:
    """A row a feature: how chosen differs from rejected, the AUC of the feature alone, and what it carries."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("feature", no_wrap=True)
    for name in ("chosen minus\nrejected", "\n± se", "AUC\nalone", "AUC lost\nwithout"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shown(audit):
        mean, error = one.shift.mean or 0.0, one.shift.se or 0.0
        style = "bold" if one.clear else ""
        table.add_row(
            Text(one.feature, style), f"{mean:+,.2f}", f"± {error:,.2f}", f"{one.alone:.3f}", f"{one.carries:+.3f}"
        )
    return table
