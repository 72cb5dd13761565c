package keyfile

import "testing"

// BenchmarkBcryptPBKDF is what a passphrase costs with ssh-keygen's defaults.
func BenchmarkBcryptPBKDF(b *testing.B) {
	for b.Loop() {
		bcryptPBKDF([]byte(passphrase), []byte("salt"), 16, 48)
	}
}
