package interop;

import example.Connecting;
import io.grpc.ManagedChannel;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The Java client of the interop scenarios; see README.md of tests/interop for what each of them does. */
public final class Main {
  /** A scenario ends well, or throws what went wrong. */
  private interface Scenario {
    void run() throws Exception;
  }

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = Connecting.connect();
    try {
      Map<String, Scenario> scenarios = scenarios(new World(channel));
      for (String name : World.environment("INTEROP_SCENARIOS").split("\\s+")) {
        System.out.println(told(name, scenarios.get(name)));
      }
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static Map<String, Scenario> scenarios(World world) {
    Placing placing = new Placing(world);
    Results results = new Results(world);
    Services services = new Services(world);
    return Map.ofEntries(
        Map.entry("create", placing::create),
        Map.entry("reused", placing::reused),
        Map.entry("partial", placing::partial),
        Map.entry("all-failed", placing::allFailed),
        Map.entry("bad-request", placing::badRequest),
        Map.entry("validate", placing::validate),
        Map.entry("retry-info", placing::retryInfo),
        Map.entry("deadline", placing::deadline),
        Map.entry("results", results::results),
        Map.entry("watch", results::watch),
        Map.entry("cancel", results::cancel),
        Map.entry("health", services::health),
        Map.entry("reflection", services::reflection));
  }

  /** Runs a scenario, and gives the line that tells of it. */
  private static String told(String name, Scenario scenario) {
    if (scenario == null) {
      return "FAILED " + name + ": this client has no such scenario";
    }
    try {
      scenario.run();
      return "ok " + name;
    } catch (Exception failure) {
      failure.printStackTrace();
      return "FAILED " + name + ": " + failure.toString().replaceAll("\\s+", " ");
    }
  }
}
