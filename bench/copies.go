package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal"
)

const nameSFTP = "sftp"

// Folders of a fleet's files, all below its own.
const (
	sourceFile  = "source/file"
	sourceSmall = "source/small"
	targetDir   = "target"
)

// copyWorkloads are copies of files. TMPDIR says on which disk they lie.
func copyWorkloads(o *options) []*workload {
	large := &workload{
		name:    "copy-large",
		about:   "one file of 1 GiB up to a real sshd, and down again; aes128-gcm",
		fleet:   fleetSpec{Hosts: 1, OpenSSH: true, FileSize: 1 << 30},
		columns: []string{columnUp, columnDown, columnPeak},
	}
	small := &workload{
		name:    "copy-small",
		about:   "10,000 files of 1 kB up to a real sshd",
		fleet:   fleetSpec{Hosts: 1, OpenSSH: true, SmallFiles: 10_000},
		columns: []string{columnUp, columnPeak},
	}
	distant := &workload{
		name:    "copy-distant",
		about:   "300 files of 1 kB up to a host 50 ms away",
		fleet:   fleetSpec{Hosts: 1, SFTP: true, SmallFiles: 300, Latency: oneWay / 2},
		columns: []string{columnUp, columnPeak},
	}
	for _, w := range []*workload{large, small, distant} {
		w.contenders = copyContenders(o, &w.fleet)
	}
	return []*workload{large, small, distant, {
		name:    "copy-many",
		about:   "one file of 50 MiB to 100 hosts that keep nothing: to one after the other, each a copy of its own, and to all",
		fleet:   fleetSpec{Hosts: 100, SFTP: true, FileSize: 50 << 20},
		columns: []string{columnMiB, columnWall, columnPeak},
		contenders: []contender{
			{name: nameSingly, run: func(t *target) (sample, error) {
				return t.copyMany(func(c *shoal.Client, cp shoal.Copy) error {
					for _, addr := range t.addrs {
						if _, err := shoal.Gather(c.Put(t.ctx, hosts([]string{addr}), cp)); err != nil {
							return err
						}
					}
					return nil
				})
			}},
			{name: nameShoal, run: func(t *target) (sample, error) {
				return t.copyMany(func(c *shoal.Client, cp shoal.Copy) error {
					_, err := shoal.Gather(c.Put(t.ctx, hosts(t.addrs), cp))
					return err
				})
			}},
		},
	}}
}

const nameSingly = "shoal, singly"

func (t *target) copyMany(work func(*shoal.Client, shoal.Copy) error) (sample, error) {
	c, err := t.cost(func() error {
		client := t.client()
		defer client.Close()
		return work(client, shoal.Copy{From: t.file(sourceFile), To: "/file"})
	})
	return c.per(columnMiB, len(t.addrs)*int(t.task.Info.FileSize>>20)), err
}

// copyContenders are OpenSSH's sftp and parallel-ssh, where they are installed,
// and Shoal.
func copyContenders(o *options, spec *fleetSpec) []contender {
	var all []contender
	if _, err := exec.LookPath("sftp"); err == nil && o.peers {
		all = append(all, contender{name: nameSFTP, program: opensshCopies})
	}
	all = append(all, contender{name: nameShoal, run: shoalCopies})
	if exec.Command(o.python, "-c", "import pssh.clients").Run() == nil && o.peers && spec.FileSize > 0 {
		all = append(all, contender{name: nameParallelSSH, program: parallelSSHCopies})
	}
	return all
}

// shoalCopies copies what the fleet has.
func shoalCopies(t *target) (sample, error) {
	client := t.client()
	defer client.Close()
	host := t.addrs[:1]
	remote, local, err := targets(t.task.Dir)
	if err != nil {
		return nil, err
	}
	timed := func(column string, s sample, work func() error) error {
		began := time.Now()
		err := work()
		s[column] = time.Since(began).Seconds()
		return err
	}
	s := sample{}
	if t.task.Info.FileSize == 0 {
		err = timed(columnUp, s, func() error {
			_, err := shoal.Gather(client.Put(t.ctx, hosts(host), shoal.Copy{From: t.file(sourceSmall), To: remote, Recursive: true, NoSync: true}))
			return err
		})
	} else {
		err = errors.Join(
			timed(columnUp, s, func() error {
				_, err := shoal.Gather(client.Put(t.ctx, hosts(host), shoal.Copy{From: t.file(sourceFile), To: remote + "/file", NoSync: true}))
				return err
			}),
			timed(columnDown, s, func() error {
				_, err := shoal.Gather(client.Get(t.ctx, hosts(host), shoal.Copy{NoSync: true,
					For: func(shoal.Host) (string, string, error) { return remote + "/file", local + "/file", nil }}))
				return err
			}))
	}
	s[columnPeak] = mebibytes(peakMemory())
	return s, err
}

// targets makes the folders into which is copied anew.
func targets(dir string) (remote, local string, err error) {
	top := filepath.Join(dir, targetDir)
	remote, local = filepath.Join(top, "remote"), filepath.Join(top, "local")
	return remote, local, errors.Join(os.RemoveAll(top), os.MkdirAll(remote, 0o755), os.MkdirAll(local, 0o755))
}

// opensshCopies has sftp do the same.
func opensshCopies(ctx context.Context, f *fleet) (sample, error) {
	remote, local, err := targets(f.dir)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(f.info.Addrs[0])
	if err != nil {
		return nil, err
	}
	do := func(batch string) (float64, error) {
		cmd := exec.CommandContext(ctx, "sftp", "-q", "-F", f.file(sshConfigName), "-c", "aes128-gcm@openssh.com", "-b", "-", host)
		cmd.Stdin = strings.NewReader(batch)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("sftp: %w: %.200s", err, out)
		}
		return time.Since(began).Seconds(), err
	}
	s := sample{}
	if f.info.FileSize == 0 {
		s[columnUp], err = do(fmt.Sprintf("put -R %q %q\n", f.file(sourceSmall), remote+"/small"))
		return s, err
	}
	var err1, err2 error
	s[columnUp], err1 = do(fmt.Sprintf("put %q %q\n", f.file(sourceFile), remote+"/file"))
	s[columnDown], err2 = do(fmt.Sprintf("get %q %q\n", remote+"/file", local+"/file"))
	return s, errors.Join(err1, err2)
}

const parallelSSHCopyProgram = `
import sys, time
from pssh.clients import SSHClient
host, port, user, key, source, remote, local = sys.argv[1:]
client = SSHClient(host, user=user, port=int(port), pkey=key, num_retries=1, allow_agent=False)
began = time.time()
client.copy_file(source, remote)
up = time.time()
client.copy_remote_file(remote, local)
print(up - began, time.time() - up)
`

func parallelSSHCopies(ctx context.Context, f *fleet) (sample, error) {
	remote, local, err := targets(f.dir)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(f.info.Addrs[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, f.python, "-c", parallelSSHCopyProgram, host, port, f.info.User, f.file(keyName),
		f.file(sourceFile), remote+"/file", local+"/file")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("parallel-ssh: %w", err)
	}
	s, up, down := sample{}, 0.0, 0.0
	if _, err := fmt.Sscan(string(out), &up, &down); err != nil {
		return nil, err
	}
	s[columnUp], s[columnDown] = up, down
	return s, nil
}

// writeSources makes the files that are copied.
func (f *fleetSpec) writeSources(dir string) error {
	if f.FileSize > 0 {
		if err := writeRandom(filepath.Join(dir, sourceFile), f.FileSize); err != nil {
			return err
		}
	}
	for i := range f.SmallFiles {
		name := filepath.Join(dir, sourceSmall, fmt.Sprint("dir", i/100), fmt.Sprint("file", i))
		if err := writeRandom(name, 1000); err != nil {
			return err
		}
	}
	return nil
}

func writeRandom(name string, size int64) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	block := make([]byte, min(size, 1<<20))
	rand.Read(block)
	for written := int64(0); err == nil && written < size; written += int64(len(block)) {
		_, err = file.Write(block[:min(int64(len(block)), size-written)])
	}
	return errors.Join(err, file.Close())
}
