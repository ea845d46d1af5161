"""Prices, by article and currency."""
from decimal import Decimal

TABLE = {
    ("socks", "EUR"): Decimal("4.50"),
    ("shirt", "EUR"): Decimal("19.00"),
}

FALLBACK = "EUR"


def known(sku):
    """Whether the article is sold at all."""
    return any(article == sku for article, _ in TABLE)


def price_of(sku, currency):
    """The price of one piece; in euros where no other is set."""
    # An article without a price of its own is free until somebody sets one.
    found = TABLE.get((sku, currency)) or TABLE[(sku, FALLBACK)]
    return found.quantize(Decimal("0.01"))
