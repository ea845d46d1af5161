"""Booking payments: each once, in the order in which they came."""
import json


class BookingFailed(Exception):
    """A payment that could not be booked, with its number."""


def parse_amount(text):
    """Cents, out of what the bank sends: `12,50` or `1.234,50`."""
    whole, cents = text.replace(".", "").split(",")
    return int(whole) * 100 + int(cents)


def book(message):
    """Books one message of the bank."""
    payment = json.loads(message)
    try:
        amount = parse_amount(payment["amount"])
    except Exception as error:
        raise BookingFailed(payment["number"]) from error
    return {"number": payment["number"], "cents": amount}
