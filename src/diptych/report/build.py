"""Make the report: one HTML file that shows a list of results and asks nothing of the network."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from diptych.errors import InputError
from diptych.files import write_text
from diptych.report import plates, sections
from diptych.report.pictures import Pictures
from diptych.report.tables import prose, text
from diptych.result import Result

QUESTION = "How does this model do the same task from text and from an image?"
LONG_TABLE = 20
"""Tables of more rows start closed."""


@dataclass(frozen=True)
class Origin:
    """What the foot of a page tells besides: the command that made it, and the days on which its results were computed."""

    command: str = ""
    days: Sequence[str] = ()


def build(results: Sequence[Result], path: Path, *, title: str = "A diptych report", origin: Origin = Origin()) -> Path:
    """Write the report of `results`, in their order, to `path`, at once or not at all; returns `path`.

    Raises `InputError` for an empty list and for a path that cannot be written.
    """
    if not results:
        raise InputError(
            "A report needs at least one result; got none. Run an experiment first, or check the run folder's path."
        )
    page = render(results, title=title, origin=origin)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(path), page)
    except OSError as error:
        raise InputError(
            f"The report cannot be written to '{path}': {error.strerror}. Choose a folder that you may write to."
        ) from error
    return Path(path)


def render(results: Sequence[Result], *, title: str, origin: Origin = Origin()) -> str:
    """The page as text; equal results give equal text."""
    scripts = [_asset("vendor/plotly-cartesian.min.js"), _asset("overlay.js"), _asset("view.js")]
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            question=QUESTION,
            title=title,
            policy=_policy(scripts),
            style=Markup(_asset("style.css")),  # ours, so it may stand in the page unescaped
            scripts=[Markup(script) for script in scripts],
            page=sections.arrange(results),
            models=list(dict.fromkeys(str(result.identity["model"]) for result in results)),
            tasks=list(dict.fromkeys(str(result.identity["task"]) for result in results)),
            count=len(results),
            pictures=Pictures(),
            origin=origin,
            version=_version(),
        )
    )


def environment() -> Environment:
    """Where the templates of pages are found, with what they call; all text is escaped."""
    found = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    found.globals |= {"token_runs": plates.token_runs, "verdict": plates.verdict, "long_table": LONG_TABLE}
    found.filters |= {
        "number": text,
        "prose": prose,
        "heading": sections.heading,
        "visible": visible,
        "download": download,
        "fields": asdict,
    }
    return found


def visible(token: str) -> str:
    """A token with its line breaks and tabs made visible."""
    return token.replace("\n", "↵").replace("\t", "⇥")


def download(text: str) -> str:
    """An address that holds the text itself, so that a link can save it offline."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=" ,;:!*()[]+=/?@")


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: only our own scripts run, pictures are in the page, and nothing is ever fetched."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def _version() -> str:
    try:
        return metadata.version("diptych")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _asset(name: str) -> str:
    return files("diptych.report").joinpath(name).read_text(encoding="utf-8")
