package com.acme.settle.batch;

import com.acme.settle.rates.RateTable;
import java.util.List;

/** One day's payments of one merchant. */
public class Settlement {
    private final RateTable rates;

    public Settlement(RateTable rates) {
        this.rates = rates;
    }

    /** Closes the batch: what is owed, in cents. */
    public long close(String merchant, List<Payment> payments) {
        try {
            long sum = 0;
            for (Payment payment : payments) {
                sum += Math.round(payment.cents() * rates.of(payment.currency()));
            }
            return sum;
        } catch (RuntimeException failed) {
            throw new IllegalStateException("settlement of " + merchant + " failed", failed);
        }
    }

    /** A payment in its own currency. */
    public record Payment(String currency, long cents) {}
}
