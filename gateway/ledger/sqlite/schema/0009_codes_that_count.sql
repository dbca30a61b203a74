-- Codes that count against `limits.qr_codes` (`QrRow.counts_until`).
DROP INDEX qr_codes_open;
CREATE INDEX qr_codes_counted ON qr_codes (issuer_id, max(expires_at, created_at + 86400.0)) WHERE used_at IS NULL;
