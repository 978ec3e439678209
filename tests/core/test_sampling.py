"""Samples from JSON Schemas: what the conformance suite steps with where it knows nothing."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from paddock import Catalog
from paddock.conformance.sampling import Unsampleable, fits, misfit, sample


class Click(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["click"] = "click"
    ref: str = Field(min_length=3, pattern=r"^\w+$")
    times: int = Field(gt=1, le=3)


class Scroll(BaseModel):
    type: Literal["scroll"]
    by: float = Field(ge=0.25, lt=1)
    where: list["Point"] = Field(min_length=2)


class Point(BaseModel):
    x: Annotated[int, Field(multiple_of=5, ge=7)]
    label: str | None


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "x"),
        ({"type": "object"}, {}),
        ({"type": "string", "minLength": 4}, "xxxx"),
        ({"type": "string", "pattern": "^[0-9]{2}$"}, "00"),
        ({"type": "string", "pattern": "^echo hello$"}, "echo hello"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "examples": [7, "seven"]}, "seven"),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "integer", "default": 5, "maximum": 4}, 1),
        ({"type": "integer", "exclusiveMinimum": 10}, 11),
        ({"type": "number", "minimum": 0.1, "exclusiveMaximum": 0.2}, 0.1),
        ({"type": ["null", "boolean"]}, False),
        ({"type": "array", "minItems": 1, "items": {"const": 3}}, [3]),
        ({"oneOf": [{"type": "string", "pattern": "^[^x]{9}z$"}, {"type": "null"}]}, None),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 3),
    ],
    ids=str,
)
def test_the_smallest_value_that_fits_is_found(schema: dict[str, Any], expected: Any):
    assert sample(schema) == expected


@pytest.mark.parametrize("action", [Click, Scroll, Click | Scroll, Free], ids=str)
def test_a_model_accepts_its_sample_and_refuses_its_misfit(action: Any):
    adapter: TypeAdapter[Any] = TypeAdapter(action)
    schema = adapter.json_schema()
    good = sample(schema)
    adapter.validate_python(good)
    bad = misfit(schema, good)
    if action is Free:
        assert bad is None
    else:
        assert bad is not None
        assert not fits(bad.value, schema)
        with pytest.raises(ValueError, match=bad.field):
            adapter.validate_python(bad.value)


@pytest.mark.parametrize("name", Catalog())
def test_every_environment_can_be_sampled(name: str):
    spec = Catalog()[name]
    schema = TypeAdapter(spec.action).json_schema()
    good = sample(schema)
    spec.codec().action(good)
    assert misfit(schema, good) is not None


def test_an_endless_schema_is_given_up_on():
    node = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}
    with pytest.raises(Unsampleable):
        sample(node)
