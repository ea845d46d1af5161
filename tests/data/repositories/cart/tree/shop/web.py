"""Requests of the shop."""
import logging

from shop.cart import Cart

log = logging.getLogger("shop.web")


def checkout(request):
    cart = Cart(request["lines"])
    try:
        return {"total": str(cart.total(request.get("currency", "EUR")))}
    except Exception:
        log.exception("checkout failed")
        return {"error": "internal"}
