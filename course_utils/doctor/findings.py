"""What the doctor says: a finding, and the report that a learner reads."""

from dataclasses import dataclass
from html import escape

ERROR, WARNING = "error", "warning"
_COLORS = {ERROR: "#D55E00", WARNING: "#B07A00"}


@dataclass(frozen=True)
class Finding:
    """One bug, with the numbers that show it and the line that repairs it.

    `severity` is "error" (it is wrong) or "warning" (it may be meant). `where` is the learner's
    line, `symptom` what the bug will look like from outside.
    """

    bug: str
    severity: str
    evidence: str
    fix: str
    where: str = ""
    symptom: str = ""

    def __str__(self):
        lines = [f"{self.severity}: {self.bug}"]
        for title, text in self._parts():
            lines.append(f"  {title + ':':<8} {text}")
        return "\n".join(lines)

    def _repr_html_(self):
        rows = "".join(
            f'<div style="white-space: pre-wrap"><b>{title}:</b> {escape(text)}</div>'
            for title, text in self._parts()
        )
        return (
            f'<div style="border-left: 5px solid {_COLORS[self.severity]}; padding: 4px 12px; '
            f'margin: 6px 0"><b>{self.severity}: {escape(self.bug)}</b>{rows}</div>'
        )

    def _parts(self):
        parts = {
            "where": self.where,
            "seen": self.evidence,
            "leads to": self.symptom,
            "fix": self.fix,
        }
        return [(title, text) for title, text in parts.items() if text]


def in_order(findings):
    """Errors first, then warnings; both as they were found."""
    return sorted(findings, key=lambda finding: finding.severity != ERROR)


def as_text(findings, watched, unchecked=()):
    """The whole report; `watched` says what was looked at, `unchecked` what could not be."""
    parts = [str(finding) for finding in findings]
    if not findings:
        so_far = "in what it could check" if unchecked else "wrong"
        parts = [f"The doctor found nothing {so_far} ({watched})."]
    if unchecked:
        parts.append("These checks could not be made: " + "; ".join(unchecked) + ".")
    return "\n\n".join(parts)


def as_html(findings, watched, unchecked=()):
    """The same for a notebook."""
    shown = "".join(finding._repr_html_() for finding in findings)
    rest = as_text([], watched, unchecked)
    if findings:
        rest = rest.partition("\n\n")[2]
    return f'<div role="status">{shown}{escape(rest)}</div>'
