package io.parcel.track;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;

public class Main {
    public static void main(String[] args) {
        try {
            new RouteService().plan(List.of("HAM", "BER"));
        } catch (RuntimeException failed) {
            StringWriter text = new StringWriter();
            failed.printStackTrace(new PrintWriter(text));
            System.out.println(text);
        }
    }
}
