// Package security holds the tests that SECURITY.md rests on and that are about no single package:
//
//   - [TestLeastPrivilege] runs the functions as they are deployed, in processes of their own, against an account that
//     writes down every call to AWS, and compares the calls with the policies of template.yaml, in both directions.
//   - Its logs, its table, its queue and its bus are searched for tokens and secrets, and so is everything that
//     `bellhop dev` prints, serves and stores.
//   - Every claim of SECURITY.md names a test, which has to be there.
//
// What belongs to one package is tested there: token forgery in internal/token, grants in internal/hub, and so on.
package security
