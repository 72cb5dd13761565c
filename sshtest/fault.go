package sshtest

// FaultKind names a fault. The names follow the order in which a connection
// meets them: TCP, version exchange, key exchange, authentication, channel,
// command.
type FaultKind string

// The faults that a host can play.
const (
	// Refuse has no listener: connecting is refused.
	Refuse FaultKind = "refuse"
)

// A Fault is what is wrong with a host. The zero value is a good host.
type Fault struct {
	Kind FaultKind
	// N is the number of bytes, lines or messages of faults that count
	// something; 0 means the default of the kind.
	N int64
	// Times plays the fault on that many connections only, the first ones;
	// later ones are served well. 0 means always.
	Times int
}

// nextFault returns the fault to be played on the next connection.
func (h *host) nextFault() Fault {
	if h.fault.Times > 0 && h.played >= h.fault.Times {
		return Fault{}
	}
	h.played++
	return h.fault
}
