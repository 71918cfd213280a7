"""The interface keeps to its own description: schemathesis over every route of a real server, with every check."""

from pathlib import Path

import pytest

from tests.support.fuzz.attacking import attack, description

EXAMPLES = {"admin": 3, "viewer": 2}
"""For each route; `make fuzz` takes a hundred, and the phases that need minutes."""


@pytest.mark.external("schemathesis")
@pytest.mark.slow
@pytest.mark.parametrize("role", EXAMPLES)
async def test_schemathesis_finds_nothing(tmp_path: Path, role: str) -> None:
    """Answers, refusals, content types, headers and shapes are as described, whatever is sent."""
    options = ["--phases", "fuzzing", "--max-examples", str(EXAMPLES[role]), "--seed", "1"]
    status, output = await attack(tmp_path, role, options)
    assert status == 0, output
    assert " Tested: " in output


async def test_the_description_says_what_must_be_given() -> None:
    """Parameters and fields without which a request is refused are marked so, with their bounds."""
    described = description()
    difference = described["paths"]["/admin/operations/difference"]["get"]["parameters"]
    assert {each["name"] for each in difference if each["required"]} == {
        "collection", "doc_id", "from", "to",
    }  # fmt: skip
    assert [each["schema"] for each in difference if each["name"] == "to"] == [
        {"type": "integer", "minimum": 0, "maximum": 1 << 53}
    ]
    schemas = described["components"]["schemas"]
    assert schemas["SubmitRequest"]["properties"]["priority"]["maximum"] == 9
    assert schemas["UserCreate"]["properties"]["secret"]["minLength"] == 8
    again = described["paths"]["/jobs/{id}/again"]["post"]
    assert again["requestBody"]["required"] is False
    ready = described["paths"]["/health/ready"]["get"]["responses"]
    assert ready["503"]["content"].keys() == {"application/json"}
