// The driver of event-ruler; its arguments and its output are described in ../README.md.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import software.amazon.event.ruler.Machine;

public class Driver {
    static final int REFUSED = 3;
    static final ObjectMapper JSON = new ObjectMapper();

    record Rule(String id, String pattern) {}

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            options.put(pair[0], pair[1]);
        }
        List<Rule> rules = rules(args[0]);
        List<String> events = lines(args[1], Integer.parseInt(options.getOrDefault("limit", "2147483647")));

        long heapBefore = heap();
        long began = System.nanoTime();
        Machine machine = Machine.builder().build();
        rules.forEach(rule -> add(machine, rule));
        long load = System.nanoTime() - began;
        long heap = heap() - heapBefore;
        if (options.containsKey("out")) {
            writeAnswers(machine, events, options.get("out"));
        }

        Passes passes = new Passes(machine, events, options);
        Churn churn = null;
        if (Double.parseDouble(options.getOrDefault("churn", "0")) > 0) {
            passes.expectWhatIsNow();
            churn = new Churn(machine, rules(options.get("extra")).get(0), Double.parseDouble(options.get("churn")));
            churn.start();
        }
        passes.run();
        if (churn != null) {
            churn.end();
        }
        long hash = churn == null ? hash(machine, events, passes.done) : 0;

        System.out.printf(Locale.ROOT, "{\"peer\":\"event-ruler\",\"rules\":%d,\"events\":%d,\"load_ms\":%.1f,\"heap_mb\":%.1f,"
                + "\"rss_mb\":%.1f,\"ns_per_event\":[%s],\"cpu_ns_per_event\":[%s],\"matches\":%d,\"hash\":\"%016x\",\"updates\":%d,"
                + "\"us_per_update\":%.1f,\"expected\":%d,\"lost\":%d,\"threw\":%d}%n",
                rules.size(), passes.done, load / 1e6, heap / 1e6, rssKib() * 1024 / 1e6, String.join(",", passes.wall),
                String.join(",", passes.cpu), passes.matches, hash, churn == null ? 0 : churn.updates,
                churn == null ? 0.0 : churn.nanos / 1e3 / Math.max(1, churn.updates), passes.expected, passes.lost, passes.threw);
        System.out.flush();
        System.exit(0);
    }

    static void add(Machine machine, Rule rule) {
        try {
            machine.addRule(rule.id, rule.pattern);
        } catch (Exception refusal) {
            System.err.println("refused " + rule.id + ": " + String.valueOf(refusal.getMessage()).replace('\n', ' '));
            System.exit(REFUSED);
        }
    }

    /** Matches all events again and again, on this thread. */
    static class Passes {
        final Machine machine;
        final List<String> events;
        final int passes;
        final double maxSeconds;
        final double minSeconds;
        final List<String> wall = new ArrayList<>();
        final List<String> cpu = new ArrayList<>();
        /** How many matches each event had before the rules began to change; null: they don't. */
        int[] before;
        int done;
        long matches, expected, lost, threw;

        Passes(Machine machine, List<String> events, Map<String, String> options) {
            this.machine = machine;
            this.events = events;
            passes = Integer.parseInt(options.getOrDefault("passes", "5"));
            maxSeconds = Double.parseDouble(options.getOrDefault("maxsec", "1e9"));
            minSeconds = Double.parseDouble(options.getOrDefault("minsec", "0"));
        }

        void expectWhatIsNow() throws Exception {
            before = new int[events.size()];
            for (int i = 0; i < before.length; i++) {
                before[i] = machine.rulesForJSONEvent(events.get(i)).size();
            }
        }

        void run() throws Exception {
            ThreadMXBean threads = ManagementFactory.getThreadMXBean();
            long first = System.nanoTime();
            for (int pass = 0; pass < passes || before != null && System.nanoTime() - first < minSeconds * 1e9; pass++) {
                long wallBegan = System.nanoTime();
                long cpuBegan = threads.getCurrentThreadCpuTime();
                pass(wallBegan);
                cpu.add(perEvent(threads.getCurrentThreadCpuTime() - cpuBegan));
                wall.add(perEvent(System.nanoTime() - wallBegan));
            }
        }

        void pass(long began) throws Exception {
            matches = 0;
            done = 0;
            for (String event : events) {
                int found = before == null ? machine.rulesForJSONEvent(event).size() : whileRulesChange(event);
                matches += found;
                done++;
                if ((done & 63) == 0 && System.nanoTime() - began > maxSeconds * 1e9) {
                    break;
                }
            }
        }

        int whileRulesChange(String event) {
            int found = 0;
            try {
                found = machine.rulesForJSONEvent(event).size();
            } catch (Exception torn) {
                threw++;
            }
            expected += before[done];
            lost += Math.max(0, before[done] - found);
            return found;
        }

        String perEvent(long nanos) {
            return String.format(Locale.ROOT, "%.1f", (double) nanos / Math.max(1, done));
        }
    }

    /** Adds and deletes one rule, many times a second. */
    static class Churn extends Thread {
        final Machine machine;
        final Rule rule;
        final double perSecond;
        volatile boolean ended;
        long updates, nanos;

        Churn(Machine machine, Rule rule, double perSecond) {
            this.machine = machine;
            this.rule = rule;
            this.perSecond = perSecond;
            setDaemon(true);
        }

        @Override
        public void run() {
            try {
                long first = System.nanoTime();
                while (!ended) {
                    long began = System.nanoTime();
                    if ((updates & 1) == 0) {
                        machine.addRule(rule.id, rule.pattern);
                    } else {
                        machine.deleteRule(rule.id, rule.pattern);
                    }
                    nanos += System.nanoTime() - began;
                    updates++;
                    long wait = first + (long) (updates * 1e9 / perSecond) - System.nanoTime();
                    if (wait > 0) {
                        Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
                    }
                }
            } catch (Exception failed) {
                throw new RuntimeException(failed);
            }
        }

        void end() throws InterruptedException {
            ended = true;
            join();
        }
    }

    static void writeAnswers(Machine machine, List<String> events, String file) throws Exception {
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Paths.get(file)))) {
            for (String event : events) {
                List<String> ids = new ArrayList<>(machine.rulesForJSONEvent(event));
                Collections.sort(ids);
                out.println(JSON.writeValueAsString(ids));
            }
        }
    }

    static long hash(Machine machine, List<String> events, int count) throws Exception {
        long sum = 0;
        for (int i = 0; i < count; i++) {
            for (String id : machine.rulesForJSONEvent(events.get(i))) {
                sum += fnv1a(i + ":" + id);
            }
        }
        return sum;
    }

    static long fnv1a(String text) {
        long hash = 0xcbf29ce484222325L;
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
        }
        return hash;
    }

    static List<Rule> rules(String file) throws IOException {
        List<Rule> rules = new ArrayList<>();
        for (String line : lines(file, Integer.MAX_VALUE)) {
            JsonNode rule = JSON.readTree(line);
            rules.add(new Rule(rule.get("id").asText(), rule.get("pattern").toString()));
        }
        return rules;
    }

    static List<String> lines(String file, int limit) throws IOException {
        List<String> lines = new ArrayList<>();
        try (BufferedReader in = Files.newBufferedReader(Paths.get(file))) {
            String line;
            while (lines.size() < limit && (line = in.readLine()) != null) {
                if (!line.isEmpty()) {
                    lines.add(line);
                }
            }
        }
        return lines;
    }

    static long heap() {
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    /** 0 where there is no /proc. */
    static long rssKib() throws IOException {
        if (!Files.exists(Paths.get("/proc/self/status"))) {
            return 0;
        }
        for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
            if (line.startsWith("VmRSS")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        return 0;
    }
}
