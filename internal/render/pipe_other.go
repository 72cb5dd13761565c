//go:build !windows

package render

func platformBrokenPipe(error) bool { return false }
