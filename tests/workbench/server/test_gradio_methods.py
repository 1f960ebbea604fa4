"""Methods of Gradio's are replaced only where they are the known ones."""

import pytest

from workbench.server.gradio_methods import replace_method


class Component:
    def preprocess(self, payload: str) -> str:
        return payload


def test_a_known_method_is_replaced_on_this_object_alone() -> None:
    one, other = Component(), Component()
    replace_method(one, "preprocess", ("payload",), lambda payload: f"<{payload}>")
    assert (one.preprocess("a"), other.preprocess("a")) == ("<a>", "a")


@pytest.mark.parametrize(("name", "parameters"), [("preprocess", ("value",)), ("postprocess", ("payload",))])
def test_another_method_is_left_alone(name: str, parameters: tuple[str, ...]) -> None:
    component = Component()
    with pytest.raises(RuntimeError, match=rf"has no Component\.{name}\({parameters[0]}\): install the version"):
        replace_method(component, name, parameters, lambda payload: "")
    assert component.preprocess("a") == "a"
