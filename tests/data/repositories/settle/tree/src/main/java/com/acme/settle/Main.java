package com.acme.settle;

import com.acme.settle.batch.Settlement;
import com.acme.settle.rates.RateTable;
import java.util.List;

public class Main {
    public static void main(String[] args) {
        Settlement settlement = new Settlement(new RateTable());
        List<Settlement.Payment> payments =
                List.of(new Settlement.Payment("EUR", 1200), new Settlement.Payment("NOK", 900));
        settlement.close("m-17", payments);
    }
}
