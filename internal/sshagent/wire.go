package sshagent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// Limits on what an agent may say, the same as in OpenSSH's client.
const (
	maxReply = 256 << 10 // bytes
	maxKeys  = 2048
)

// Message numbers and flags of draft-ietf-sshm-ssh-agent §6. The two other
// failures are those of ssh.com's agents, which OpenSSH's client knows as well.
const (
	msgFailure       = 5
	msgListRequest   = 11
	msgListReply     = 12
	msgSignReply     = 14
	msgFailureSSH2   = 30
	msgFailureSSHCom = 102

	flagRSASHA256 = 2
	flagRSASHA512 = 4
)

var errRefused = errors.New("the agent refuses")

// request is a message to the agent, and the type of the one it is to answer
// with. Any other type is an error, errRefused if it is a failure.
type request struct {
	message []byte
	want    byte
}

// roundTrip sends the message and reads one (§3 of the draft).
func (r request) roundTrip(rw io.ReadWriter) ([]byte, error) {
	message := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(r.message)), uint32(len(r.message)))
	if _, err := rw.Write(append(message, r.message...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(rw, size[:]); err != nil {
		return nil, ended(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > maxReply {
		return nil, fmt.Errorf("a reply of %d bytes: 1 to %d are accepted", n, maxReply)
	}
	reply := make([]byte, n)
	if _, err := io.ReadFull(rw, reply); err != nil {
		return nil, ended(err)
	}
	switch reply[0] {
	case r.want:
		return reply, nil
	case msgFailure, msgFailureSSH2, msgFailureSSHCom:
		return nil, errRefused
	}
	return nil, fmt.Errorf("a reply of type %d, where %d is due", reply[0], r.want)
}

// ended says in words what an end of file means here.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the agent hung up: %w", err)
	}
	return err
}

func listRequest() request { return request{[]byte{msgListRequest}, msgListReply} }

// parseList returns the keys in a reply. Those of unknown types are left out.
func parseList(reply []byte) ([]ssh.PublicKey, error) {
	var list struct {
		Count uint32 `sshtype:"12"`
		Keys  []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(reply, &list); err != nil {
		return nil, malformed(err)
	}
	if list.Count > maxKeys {
		return nil, fmt.Errorf("%d keys: at most %d are accepted", list.Count, maxKeys)
	}
	var keys []ssh.PublicKey
	for range list.Count {
		var one struct {
			Blob    []byte
			Comment string
			Rest    []byte `ssh:"rest"`
		}
		if err := ssh.Unmarshal(list.Keys, &one); err != nil {
			return nil, malformed(err)
		}
		list.Keys = one.Rest
		if key, err := ssh.ParsePublicKey(one.Blob); err == nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func signRequest(blob, data []byte, algorithm string) request {
	var flags uint32
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = flagRSASHA256
	case ssh.KeyAlgoRSASHA512:
		flags = flagRSASHA512
	}
	message := ssh.Marshal(struct {
		Blob  []byte `sshtype:"13"`
		Data  []byte
		Flags uint32
	}{blob, data, flags})
	return request{message, msgSignReply}
}

// parseSignature returns the signature in a reply. An agent that does not know
// the flags signs with SHA-1, which no server should see.
func parseSignature(reply []byte, algorithm string) (*ssh.Signature, error) {
	var message struct {
		Signature []byte `sshtype:"14"`
	}
	if err := ssh.Unmarshal(reply, &message); err != nil {
		return nil, malformed(err)
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal(message.Signature, &sig); err != nil {
		return nil, malformed(err)
	}
	if sig.Format != algorithm {
		return nil, fmt.Errorf("the agent signed with %.40q and not with %s", sig.Format, algorithm)
	}
	return &sig, nil
}

func malformed(err error) error { return fmt.Errorf("a malformed reply: %w", err) }
