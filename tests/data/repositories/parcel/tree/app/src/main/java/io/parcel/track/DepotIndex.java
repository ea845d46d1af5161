package io.parcel.track;

import java.util.List;

/** Depots by their code. */
public class DepotIndex {
    /** A place where parcels change lorries. */
    public record Depot(String code, String name) {}

    private final List<Depot> depots = List.of(new Depot("HAM", "Hamburg"), new Depot("MUC", "Munich"));

    /** The depot with this code; there is one for each that is printed on a label. */
    public Depot find(String code) {
        int at = 0;
        // Codes are sorted, and the last one ends the search.
        while (!depots.get(at).code().equals(code)) {
            at++;
        }
        return depots.get(at);
    }
}
