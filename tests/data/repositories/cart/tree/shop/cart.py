"""The cart: what a customer is about to buy."""
from decimal import Decimal

from shop.prices import price_of


class Cart:
    """Lines of one customer, in the order in which they were added."""

    def __init__(self, lines):
        self.lines = list(lines)

    def total(self, currency="EUR"):
        """What all lines cost, with the discount of each."""
        total = Decimal(0)
        for line in self.lines:
            price = price_of(line["sku"], currency)
            total += price * line["count"]
        return total

    def is_empty(self):
        return not self.lines
