package com.acme.settle;

/** Rates for tests: always one. */
public class RateTable {
    public double of(String currency) {
        return 1.0;
    }
}
