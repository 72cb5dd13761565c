package shoal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// secret must never be seen in an error, a log or a printed value.
const secret = "c4n4ry horse battery"

// authFleet is one host in memory on which the user may log in, and a client
// that tries to in these ways.
func authFleet(t *testing.T, u sshtest.User, auth ...shoal.Auth) (*sshtest.Fleet, *shoal.Client) {
	t.Helper()
	u.Name = sshtest.DefaultUser
	f, c := memoryFleet(t, sshtest.Config{Users: []sshtest.User{u}})
	c.Host.Auth = auth
	return f, c
}

// login connects to the first host and returns how it was logged in to.
func login(t *testing.T, c *shoal.Client) (method string, err error) {
	t.Helper()
	conn, err := c.Conn(testContext(t), shoal.Host{Name: "host0"})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.AuthMethod(), nil
}

// tried are the methods that the server was asked for, with "!" where it let
// the user in or went on to the next.
func tried(f *sshtest.Fleet) []string {
	var methods []string
	for _, e := range eventsOf(f, sshtest.EventAuth) {
		m := e.Method
		if e.OK || e.Detail != "" {
			m += "!"
		}
		methods = append(methods, m)
	}
	return methods
}

// wantTried compares, leaving out the question which methods there are.
func wantTried(t *testing.T, f *sshtest.Fleet, want ...string) {
	t.Helper()
	got := tried(f)
	if len(got) > 0 && got[0] == "none" {
		got = got[1:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("the server was asked for %q, want %q", got, want)
	}
}

// asker answers questions from a list and keeps them.
type asker struct {
	answers []string

	mu    sync.Mutex
	asked []shoal.Question
}

var errNoAnswer = errors.New("nobody answers")

func (a *asker) ask(_ context.Context, q shoal.Question) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, q)
	if len(a.asked) > len(a.answers) {
		return "", errNoAnswer
	}
	return a.answers[len(a.asked)-1], nil
}

func (a *asker) prompts() (prompts []string) {
	for _, q := range a.asked {
		prompts = append(prompts, q.Prompt)
	}
	return prompts
}

func hidden(text, answer string) sshtest.Prompt { return sshtest.Prompt{Text: text, Answer: answer} }

// A password that is right, and one that is wrong: sent once, whatever Retry
// says, and never shown.
func TestPassword(t *testing.T) {
	conform(t, "3.7 password auth success", "3.1 test_pssh_client_auth_failure", "3.4 test_auth_failure", "3.2 test_password_auth_failure",
		"3.5 test_password_auth_failure", "3.2 test_auth_retry_failure", "3.5 test_auth_retry_failure",
		"3.6 test_kbd_interactive_enabled_and_used")
	t.Parallel()
	both := sshtest.User{Password: secret, Interactive: [][]sshtest.Prompt{{hidden("Password: ", secret)}}}
	typed := sshtest.User{Interactive: both.Interactive}
	for _, tt := range []struct {
		name  string
		user  sshtest.User
		auth  shoal.Auth
		want  string // "" for a failure
		tried []string
	}{
		{"right", sshtest.User{Password: secret}, shoal.Password(secret), "password", []string{"password!"}},
		{"wrong", sshtest.User{Password: "x"}, shoal.Password(secret), "", []string{"password"}},
		{"empty", sshtest.User{Password: "x"}, shoal.Password(""), "", []string{"password"}},
		{"no such method", sshtest.User{ClientKey: true}, shoal.Password(secret), "", nil},
		{"typed", typed, shoal.Password(secret), "keyboard-interactive", []string{"keyboard-interactive!"}},
		{"typed wrong", typed, shoal.Password("other " + secret), "", []string{"keyboard-interactive"}},
		{"both", both, shoal.Password(secret), "password", []string{"password!"}},
		{"both wrong", both, shoal.Password("other " + secret), "", []string{"password"}},
		{"asked", both, shoal.Ask((&asker{answers: []string{secret}}).ask), "keyboard-interactive", []string{"keyboard-interactive!"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, c := authFleet(t, tt.user, tt.auth)
			c.Host.Retry.Attempts = 5
			method, err := login(t, c)
			if method != tt.want {
				t.Errorf("logged in by %q, want %q; %v", method, tt.want, err)
			}
			wantTried(t, f, tt.tried...)
			if tt.want != "" {
				return
			}
			he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
			if !errors.Is(err, shoal.ErrAuth) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "c4n4ry") {
				t.Errorf("got %#v, want ErrAuth without the password", err)
			}
			if he.Attempt != 1 || !strings.Contains(he.Error(), sshtest.DefaultUser) || !strings.Contains(he.Error(), "password") {
				t.Errorf("%v does not tell the user and what was tried, once", he)
			}
		})
	}
}

// A user that the server does not have, at every host of a run.
func TestUnknownUser(t *testing.T) {
	conform(t, "3.1 test_pssh_client_auth_failure", "3.4 test_auth_failure")
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{Hosts: 3})
	c.Host.User = "nobody-here"
	results, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"}))
	if len(results) != 3 || !errors.Is(err, shoal.ErrAuth) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		he := wantHostError(t, r.Err, shoal.StageAuth, shoal.KindAuthFailed)
		if he.Host != r.Host.Name || !strings.Contains(he.Error(), "nobody-here") {
			t.Errorf("got %v", he)
		}
	}
	if n := len(eventsOf(f, sshtest.EventSession)); n != 0 {
		t.Errorf("%d sessions were opened", n)
	}
}

// Without a way to log in, nothing but the question which there are is sent;
// a way that was not made is refused before that.
func TestNoAuth(t *testing.T) {
	conform(t, "3.2 test_no_auth", "3.5 test_no_auth", "3.6 test_kbd_interactive_enabled_single_clients",
		"3.6 test_kbd_interactive_enabled_parallel_clients")
	t.Parallel()
	f, c := authFleet(t, sshtest.User{Password: "x"}, []shoal.Auth{}...)
	c.Host.Auth = []shoal.Auth{}
	_, err := login(t, c)
	he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	if !strings.Contains(he.Error(), "tried none") || !strings.Contains(he.Error(), "accepts password") {
		t.Errorf("got %q, want what was tried and what is accepted", he)
	}
	wantTried(t, f)

	for _, auth := range []shoal.Auth{{}, shoal.Ask(nil), shoal.Key(nil)} {
		f, c := authFleet(t, sshtest.User{Password: "x"}, shoal.Password("x"), auth)
		_, err := login(t, c)
		wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
		if n := len(f.Events()); n != 0 {
			t.Errorf("%v: the server saw %d events", auth, n)
		}
	}
}

// What a person is asked: every prompt of every round, with what there is to
// know, and the answers log in.
func TestAsk(t *testing.T) {
	conform(t, "3.6 test_kbd_interactive_enabled_single_clients", "3.6 test_kbd_interactive_enabled_parallel_clients",
		"3.6 test_kbd_interactive_enabled_and_used")
	t.Parallel()
	user := sshtest.User{Password: "never", Interactive: [][]sshtest.Prompt{
		{hidden("Password: ", secret), {Text: "Token \x1b[31mnumber\r\n: ", Echo: true, Answer: "123456"}},
		{}, // a round of information only
		{hidden("New code: ", "7")},
	}}
	a := &asker{answers: []string{secret, "123456", "7"}}
	f, c := authFleet(t, user, shoal.Ask(a.ask))
	if method, err := login(t, c); method != "keyboard-interactive" {
		t.Fatalf("logged in by %q, %v", method, err)
	}
	wantTried(t, f, "keyboard-interactive!")
	if got, want := a.prompts(), []string{"Password: ", `Token \x1b[31mnumber\x0d\x0a: `, "New code: "}; !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
	for i, q := range a.asked {
		if q.Host != "host0" || q.User != sshtest.DefaultUser || q.Kind != shoal.AskInteractive || q.Attempt != 1 || q.Echo != (i == 1) {
			t.Errorf("question %d: %+v", i, q)
		}
	}
}

// Wrong answers are asked for again, three times in all; an error ends it.
func TestAskAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		user    sshtest.User
		kind    shoal.QuestionKind
		answers []string
		want    string
		asked   int
	}{
		{"second", sshtest.User{Password: "right"}, shoal.AskPassword, []string{"a", "right"}, "password", 2},
		{"never", sshtest.User{Password: "right"}, shoal.AskPassword, []string{"a", "b", "c", "right"}, "", 3},
		{"error", sshtest.User{Password: "right"}, shoal.AskPassword, []string{"a"}, "", 2},
		{"typed", sshtest.User{Interactive: [][]sshtest.Prompt{{hidden("?", "right")}}}, shoal.AskInteractive,
			[]string{"a", "b", "right"}, "keyboard-interactive", 3},
		{"typed never", sshtest.User{Interactive: [][]sshtest.Prompt{{hidden("?", "right")}}}, shoal.AskInteractive,
			[]string{"a", "b", "c", "right"}, "", 3},
		{"typed error", sshtest.User{Interactive: [][]sshtest.Prompt{{hidden("?", "right")}}}, shoal.AskInteractive, nil, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &asker{answers: tt.answers}
			_, c := authFleet(t, tt.user, shoal.Ask(a.ask))
			method, err := login(t, c)
			if method != tt.want || len(a.asked) != tt.asked {
				t.Errorf("logged in by %q after %d questions, want %q after %d; %v", method, len(a.asked), tt.want, tt.asked, err)
			}
			for i, q := range a.asked {
				if q.Attempt != i+1 || q.Kind != tt.kind || q.Prompt == "" {
					t.Errorf("question %d: %+v", i+1, q)
				}
			}
			if tt.want == "" {
				wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
			}
			if len(a.asked) > len(tt.answers) && !errors.Is(err, errNoAnswer) {
				t.Errorf("%v is not the error of the answer", err)
			}
		})
	}
}

// A person's time is not the server's: an hour's thought breaks no budget, and
// the caller's context ends it.
func TestAskTakesTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _ shoal.Question) (string, error) {
			select {
			case <-time.After(time.Hour):
				return "x", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		f, c := memoryFleet(t, sshtest.Config{LoginGrace: -1, Users: []sshtest.User{{Name: sshtest.DefaultUser, Password: "x"}}})
		c.Host.Auth, c.Host.Timeout = []shoal.Auth{shoal.Ask(slow)}, 5*time.Second
		if _, err := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
			t.Error(err)
		}
		f.Disconnect(0)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Conn(ctx, shoal.Host{Name: "host0"})
		wantHostError(t, err, shoal.StageAuth, shoal.KindTimeout)
	})
}

// A server that leaves while a person types is not asked on behalf of again.
func TestAskLost(t *testing.T) {
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{Users: []sshtest.User{{Name: sshtest.DefaultUser, Password: "x"}}})
	asked := 0
	c.Host.Retry.Attempts = 3
	c.Host.Auth = []shoal.Auth{shoal.Ask(func(context.Context, shoal.Question) (string, error) {
		asked++
		f.Disconnect(0)
		return "x", nil
	})}
	_, err := login(t, c)
	wantHostError(t, err, shoal.StageAuth, shoal.KindLost)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A server that asks without end gets three answers.
func TestAskedForever(t *testing.T) {
	t.Parallel()
	for _, ask := range []bool{false, true} {
		f, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.AuthKbdintLoop})})
		answers := 0
		c.Host.Auth = []shoal.Auth{shoal.Password(secret)}
		if ask {
			c.Host.Auth = []shoal.Auth{shoal.Ask(func(context.Context, shoal.Question) (string, error) {
				answers++
				return secret, nil
			})}
		}
		_, err := login(t, c)
		he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
		if answers > 30 || !strings.Contains(he.Error(), "keeps asking") {
			t.Errorf("%d answers, %v", answers, he)
		}
		if n := len(eventsOf(f, sshtest.EventConnect)); n != 1 {
			t.Errorf("%d connections", n)
		}
	}
}

// A password does not answer what is shown while it is typed, such as a user
// name or a code.
func TestPasswordForShownPrompt(t *testing.T) {
	t.Parallel()
	f, c := authFleet(t, sshtest.User{Interactive: [][]sshtest.Prompt{{{Text: "Code\x1b: ", Echo: true, Answer: secret}}}}, shoal.Password(secret))
	_, err := login(t, c)
	he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	if !strings.Contains(he.Error(), "Code") || strings.ContainsAny(he.Error(), "\x1b") {
		t.Errorf("got %q, want the prompt, made printable", he)
	}
	wantTried(t, f, "keyboard-interactive")
}

// Servers that want two proofs get both, whatever the order of Auth; one of
// them is not enough.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	prompts := [][]sshtest.Prompt{{hidden("Code: ", "42")}}
	code := func(context.Context, shoal.Question) (string, error) { return "42", nil }
	for _, tt := range []struct {
		require []string
		auth    func(*sshtest.Fleet) []shoal.Auth
		want    string
		tried   []string
	}{
		{[]string{"publickey", "password"}, func(f *sshtest.Fleet) []shoal.Auth {
			return []shoal.Auth{shoal.Key(f.ClientSigner()), shoal.Password("x")}
		}, "password", []string{"publickey!", "password!"}},
		{[]string{"password", "publickey"}, func(f *sshtest.Fleet) []shoal.Auth {
			return []shoal.Auth{shoal.Password("x"), shoal.Key(f.ClientSigner())}
		}, "publickey", []string{"password!", "publickey!"}},
		{[]string{"publickey", "password", "keyboard-interactive"}, func(f *sshtest.Fleet) []shoal.Auth {
			return []shoal.Auth{shoal.Key(f.ClientSigner()), shoal.Password("x"), shoal.Ask(code)}
		}, "keyboard-interactive", []string{"publickey!", "password!", "keyboard-interactive!"}},
		{[]string{"publickey", "password"}, func(f *sshtest.Fleet) []shoal.Auth {
			return []shoal.Auth{shoal.Key(f.ClientSigner())}
		}, "", []string{"publickey!"}},
		{[]string{"publickey", "password"}, func(f *sshtest.Fleet) []shoal.Auth {
			return []shoal.Auth{shoal.Key(f.ClientSigner()), shoal.Password("wrong")}
		}, "", []string{"publickey!", "password"}},
	} {
		t.Run(fmt.Sprint(tt.require, tt.want), func(t *testing.T) {
			f, c := authFleet(t, sshtest.User{ClientKey: true, Password: "x", Interactive: prompts, Require: tt.require})
			c.Host.Auth = tt.auth(f)
			method, err := login(t, c)
			if method != tt.want {
				t.Errorf("logged in by %q, want %q; %v", method, tt.want, err)
			}
			wantTried(t, f, tt.tried...)
			if tt.want == "" {
				he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
				if !strings.Contains(he.Error(), "accepts password") {
					t.Errorf("%q does not say what the server wants", he)
				}
			}
		})
	}
}

// A server that asks for nothing is seen in the result, and gets nothing.
func TestAuthNone(t *testing.T) {
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.AuthNoneOK})})
	c.Host.Auth = []shoal.Auth{shoal.Password(secret), shoal.Key(f.ClientSigner())}
	r, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "hostname"}))
	if err != nil || r[0].AuthMethod != "none" || r[0].Value.Text() != "host0\n" {
		t.Errorf("got %q by %q, %v", r[0].Value.Text(), r[0].AuthMethod, err)
	}
	if got := tried(f); !slices.Equal(got, []string{"none!"}) {
		t.Errorf("the server was asked for %q", got)
	}
}

// How each host was logged in to is in its result.
func TestAuthMethodInResult(t *testing.T) {
	t.Parallel()
	f, c := memoryFleet(t, sshtest.Config{Users: []sshtest.User{{Name: "a", Password: "x"}, {Name: "b", ClientKey: true}}})
	c.Host.Auth = []shoal.Auth{shoal.Key(f.ClientSigner()), shoal.Password("x")}
	for range 2 { // over the connections that are there, too
		r, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts("a@host0", "b@host0"), shoal.Command{Line: "whoami"}))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"password", "publickey"} {
			if r[i].AuthMethod != want || r[i].Value.Text() != "ab"[i:i+1]+"\n" {
				t.Errorf("%s: %q by %q, want %q", r[i].Host.Name, r[i].Value.Text(), r[i].AuthMethod, want)
			}
		}
	}
}

// After a banner of terminal escapes, and one that goes on and on, the login
// works or ends in time.
func TestAuthBanner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.AuthBannerGiant})})
		if _, err := login(t, c); err != nil {
			t.Error(err)
		}
		_, c = memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.AuthBannerFlood, N: 1000})})
		c.Host.Timeout = 3 * time.Second
		_, err := login(t, c)
		wantHostError(t, err, shoal.StageAuth, shoal.KindTimeout)
	})
}

// No secret is in anything printed, encoded or logged, whatever happens.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	signer, pem := encryptedKey(t)
	f, c := authFleet(t, sshtest.User{Password: "other", Keys: []ssh.PublicKey{signer.PublicKey()}, Require: []string{"publickey", "password"}})
	c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))
	auth := []shoal.Auth{shoal.KeyBytes(pem, secret), shoal.KeyFile(writeFile(t, "key", pem), secret), shoal.Password(secret),
		shoal.Ask((&asker{answers: []string{secret, secret, secret}}).ask)}
	c.Host.Auth = auth
	_, err := login(t, c)
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	wantTried(t, f, "publickey!", "password", "password", "password", "password")
	c.Host.Auth = append(auth[:2:2], shoal.Password("other"))
	if _, err := login(t, c); err != nil {
		t.Error(err)
	}
	h := shoal.Host{Name: "h", Auth: auth}
	encoded, jsonErr := json.Marshal(auth)
	if jsonErr != nil {
		t.Error(jsonErr)
	}
	sudo := &shoal.Sudo{Password: secret}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", auth, auth, auth, auth, auth), fmt.Sprintf("%v %+v %#v", h, h, h), fmt.Sprintf("%v %+v", c.Host, c.Host),
		fmt.Sprintf("%v %+v %#v %v %+v %#v", err, err, err, sudo, sudo, *sudo), string(encoded), log.String(),
		fmt.Sprintf("%+v", shoal.Result[int]{Host: h, Err: err}),
	} {
		if strings.Contains(text, "c4n4ry") {
			t.Errorf("a secret is shown in %s", text)
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged: the test tests nothing")
	}
}
