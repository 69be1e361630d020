from ugf_jax.evaluation.metrics import Estimate
from ugf_jax.evaluation.percent import cell, percent, rejected, share_card


def test_shares_in_words():
    share = Estimate(0.9312, 0.0083, 930)
    assert percent(share) == "93.1 ± 0.8 %"
    assert cell(share) == "93.1 ± 0.8"
    assert cell(None) == "–"
    assert cell(Estimate(0.5, None, 1)) == "50.0"
    card = share_card("R@1", share, "x")
    assert (card.value, card.after, card.remark) == ("93.1", "± 0.8 %", "x")
    assert share_card("R@1", Estimate(0.5, None, 1)).after == "%"


def test_refused_images_are_counted():
    assert rejected({"images": {"rejected": Estimate(0.25, None, 4000)}}) == "1,000 could not be read"
    assert rejected({"images": {"rejected": Estimate(0.0, None, 4)}}) == ""
