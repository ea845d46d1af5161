"""Prints all prices. No part of the shop."""


def price_of(sku, currency):
    print(sku, currency)
