"""What the terminal and the page say of the built-in models."""

from search.hints import better_model


def test_the_former_model_leads_to_the_present_one() -> None:
    hint = better_model("pocket-v0")
    assert hint is not None
    assert "clipdex index FOLDER --model pocket" in hint
    assert better_model("pocket-v0+int8") == hint
    assert better_model("ViT-B-32/laion2b_s34b_b79k") is None
    changing = [{"state": "pending"}]
    assert better_model("pocket-v0", changing) is None
    assert "recommended" in (better_model("pocket") or "")
