// Sends one file with tus-java-client: java -cp 'target/*' Send.java TUS_URL FILE
// The upload token comes by $TOKEN. Each request but the last brings 500,000 bytes.

import io.tus.java.client.ProtocolException;
import io.tus.java.client.TusClient;
import io.tus.java.client.TusExecutor;
import io.tus.java.client.TusURLMemoryStore;
import io.tus.java.client.TusUpload;
import io.tus.java.client.TusUploader;
import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.util.Arrays;
import java.util.Map;

public final class Send {
    public static void main(String[] arguments) throws Exception {
        TusClient client = new TusClient();
        client.setUploadCreationURL(new URL(arguments[0]));
        client.setHeaders(Map.of("Authorization", "Bearer " + System.getenv("TOKEN")));
        client.enableResuming(new TusURLMemoryStore());
        File file = new File(arguments[1]);
        TusUpload upload = new TusUpload(file);
        upload.setMetadata(Map.of("file_id", file.getName().replace(".dcm", ""), "filetype", "application/dicom"));
        TusExecutor executor = new TusExecutor() {
            @Override
            protected void makeAttempt() throws ProtocolException, IOException {
                TusUploader uploader = client.resumeOrCreateUpload(upload);
                uploader.setChunkSize(64 * 1024);
                uploader.setRequestPayloadSize(500_000);
                while (uploader.uploadChunk() > -1) {
                    continue;
                }
                uploader.finish();
            }
        };
        int[] delays = new int[100];
        Arrays.fill(delays, 200);
        executor.setDelays(delays);
        if (!executor.makeAttempts()) {
            throw new IOException("it was not sent");
        }
    }
}
