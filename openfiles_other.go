//go:build !unix

package shoal

func openFiles() int { return maxOpenFiles }
