"""Entries of a file of predictions, for the tests."""


def entry(answer: str, sure: float, measured: str | None = None, answers=("yes", "no"), **more) -> dict:
    """What the file of predictions holds for one question."""
    fields = {"question": "Does it rise?", "answer": answer, "answers": list(answers), "sure": sure} | more
    return fields if measured is None else fields | {"measured": measured}
