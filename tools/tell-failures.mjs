/** Tells of a failure when it happens: a suite may go on for half an hour, or be interrupted, and the other reporters speak at its end. */
export default class TellFailures {
  onTestCaseResult(test) {
    tell(`${test.module.relativeModuleId} > ${test.fullName}`, test.result().errors ?? []);
  }

  onTestSuiteResult(suite) {
    tell(`${suite.module.relativeModuleId} > ${suite.fullName}`, suite.errors());
  }

  onTestModuleEnd(module) {
    tell(module.relativeModuleId, module.errors());
  }
}

function tell(where, errors) {
  for (const { name, message, stacks = [] } of errors) {
    const [at] = stacks;
    const place = at === undefined ? '' : ` (${at.file}:${at.line})`;
    process.stderr.write(`FAILED ${where}: ${name ?? 'Error'}: ${message}${place}\n`);
  }
}
