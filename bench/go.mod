module github.com/shoal-ssh/shoal/bench

go 1.26.0

require (
	github.com/pkg/sftp v1.13.12
	github.com/shoal-ssh/shoal v0.0.0
	golang.org/x/crypto v0.58.0
)

require (
	github.com/Microsoft/go-winio v0.6.4 // indirect
	github.com/creack/pty v1.1.24 // indirect
	github.com/kr/fs v0.1.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/shoal-ssh/shoal => ../
