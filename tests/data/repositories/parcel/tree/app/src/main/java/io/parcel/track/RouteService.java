package io.parcel.track;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** Finds the way of a parcel. */
public class RouteService {
    private final DepotIndex depots = new DepotIndex();

    /** Names of the depots that a parcel passes, in order. */
    public List<String> plan(List<String> codes) {
        return codes.stream()
                .map(code -> {
                    DepotIndex.Depot depot = depots.find(code);
                    return depot.name();
                })
                .collect(Collectors.toList());
    }

    public List<String> empty() {
        return new ArrayList<>();
    }
}
