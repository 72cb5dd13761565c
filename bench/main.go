// Bench measures Shoal beside a bare golang.org/x/crypto/ssh loop, and with
// -peers beside other programs, all against the same fleet of SSH servers on
// loopback.
//
//	cd bench && go run . [-run REGEXP] [-repeat N] [-hosts N] [-peers] [-json FILE]
//
// The fleet runs in a process of its own, whose cost is not counted. Each
// contender runs in a fresh process, and the contenders of a workload take
// turns, so that what else the machine does meets all of them. Figures are
// medians; ratios are medians of the ratios of each turn. GOGC, GOMEMLIMIT and
// GOMAXPROCS of this process hold for all contenders.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"
)

// Subcommands by which the program starts itself again.
const (
	fleetCommand   = "serve-fleet"
	measureCommand = "measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == fleetCommand {
		return serveFleet(os.Stdin, os.Stdout)
	}
	if len(args) == 1 && args[0] == measureCommand {
		return measureOne(ctx, os.Stdin, os.Stdout)
	}
	o, err := parseOptions(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	return drive(ctx, o)
}

// options are the command line.
type options struct {
	run     *regexp.Regexp
	repeat  int
	hosts   int
	peers   bool
	list    bool
	python  string
	json    string
	profile string
	soak    time.Duration
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	pattern := flags.String("run", "", "measure the workloads whose names match this `regexp`")
	flags.IntVar(&o.repeat, "repeat", 5, "turns of each contender")
	flags.IntVar(&o.hosts, "hosts", 10_000, "hosts in the largest fleet")
	flags.BoolVar(&o.peers, "peers", false, "also measure other programs, where they are installed")
	flags.BoolVar(&o.list, "list", false, "list the workloads and contenders")
	flags.StringVar(&o.python, "python", "python3", "the `interpreter` that has parallel-ssh, for -peers")
	flags.StringVar(&o.json, "json", "", "write all samples to this `file`")
	flags.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of the contenders to this `folder`")
	flags.DurationVar(&o.soak, "soak", 0, "also run the workload load-soak for this `duration`")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.repeat < 1 || o.hosts < 1 {
		return nil, errors.New("-repeat and -hosts want numbers from 1")
	}
	var err error
	if o.run, err = regexp.Compile(*pattern); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	if o.profile != "" {
		// Each contender has a working directory of its own.
		if o.profile, err = filepath.Abs(o.profile); err != nil {
			return nil, err
		}
		err = os.MkdirAll(o.profile, 0o755)
	}
	return o, err
}

// drive measures the workloads that were asked for and reports.
func drive(ctx context.Context, o *options) error {
	report := newReport(o)
	for _, w := range workloads(o) {
		if !o.run.MatchString(w.name) {
			continue
		}
		if o.list {
			fmt.Println(w.name, w.names())
			continue
		}
		results, err := w.measure(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		report.add(w, results)
		report.print(os.Stdout, w.name)
	}
	if o.list {
		return nil
	}
	report.judge(goals())
	report.printGoals(os.Stdout)
	if o.json == "" {
		return nil
	}
	data, err := json.MarshalIndent(report, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(data, '\n'), 0o644)
}
