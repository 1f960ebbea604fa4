"""Self-contained HTML pages of results."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, **values: Any) -> str:
    """Return a template of a room, which extends `page.html`, with these values.

    Args:
        package: the room, such as "analysis.failures".
        template: name of the file in it.
        values: what the template names; it must name no others.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("analysis.common", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
