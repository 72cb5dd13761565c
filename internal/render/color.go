package render

const (
	red        = "\x1b[31m"
	resetColor = "\x1b[0m"
)

// labelColor returns the colour of a host's label. Red is kept for failures and
// standard error.
func labelColor(index int) string {
	switch index % 5 {
	case 0:
		return "\x1b[36m" // cyan
	case 1:
		return "\x1b[32m" // green
	case 2:
		return "\x1b[33m" // yellow
	case 3:
		return "\x1b[34m" // blue
	}
	return "\x1b[35m" // magenta
}

// appendColor appends text in a colour; an empty colour adds nothing to it.
func appendColor(dst []byte, color, text string) []byte {
	if color == "" {
		return append(dst, text...)
	}
	dst = append(dst, color...)
	dst = append(dst, text...)
	return append(dst, resetColor...)
}
