package example;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/** Connects to the gateway that the environment names. */
public final class Connecting {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private Connecting() {}

  /**
   * Reads DIALPLANE_ADDRESS ("127.0.0.1:50051"), DIALPLANE_CA (a PEM file: speak TLS, and trust this authority),
   * DIALPLANE_CERTIFICATE and DIALPLANE_KEY (PEM files: who we are), and DIALPLANE_TOKEN.
   */
  public static ManagedChannel connect() throws IOException {
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(System.getenv().getOrDefault("DIALPLANE_ADDRESS", "127.0.0.1:50051"), credentials())
            // Without pings, a stream never hears that the other end is gone.
            .keepAliveTime(30, TimeUnit.SECONDS)
            .keepAliveTimeout(20, TimeUnit.SECONDS);
    String token = System.getenv("DIALPLANE_TOKEN");
    if (token != null) {
      Metadata metadata = new Metadata();
      metadata.put(AUTHORIZATION, "Bearer " + token);
      builder.intercept(MetadataUtils.newAttachHeadersInterceptor(metadata));
    }
    return builder.build();
  }

  private static ChannelCredentials credentials() throws IOException {
    String authority = System.getenv("DIALPLANE_CA");
    if (authority == null) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder().trustManager(new File(authority));
    String certificate = System.getenv("DIALPLANE_CERTIFICATE");
    if (certificate != null) {
      tls.keyManager(new File(certificate), new File(System.getenv("DIALPLANE_KEY")));
    }
    return tls.build();
  }
}
