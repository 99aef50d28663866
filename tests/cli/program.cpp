// SPDX-License-Identifier: Apache-2.0
#include "program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <tokendraw/tokendraw.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tokendraw::cli_test {
namespace {

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tokendraw_cli_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

const Folder& folder() {
  static const Folder the_folder;
  return the_folder;
}

void redirect(const std::string& path, int flags, int descriptor) {
  const int file = open(path.c_str(), flags, 0600);
  if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
  close(file);
}

Finished run_process(const std::vector<std::string>& command, const std::string& input,
                     const std::vector<Environment>& environment) {
  const std::string in = write_file("stdin", input);
  const std::string out = folder().file("stdout");
  const std::string err = folder().file("stderr");
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    redirect(in, O_RDONLY, STDIN_FILENO);
    redirect(out, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    redirect(err, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    for (const Environment& variable : environment) setenv(variable.name.c_str(), variable.value.c_str(), 1);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  Finished finished;
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  finished.out = read_file(out);
  finished.err = read_file(err);
  return finished;
}

}  // namespace

Finished run_tokendraw(const std::vector<std::string>& arguments, const std::string& input,
                       const std::vector<Environment>& environment) {
  std::vector<std::string> command = {TOKENDRAW_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_process(command, input, environment);
}

Finished run_shell(const std::string& command) {
  return run_process({"/bin/sh", "-c", command}, "", {{"TOKENDRAW", TOKENDRAW_PROGRAM}});
}

std::string write_file(const std::string& name, const std::string& content) {
  const std::string path = folder().file(name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<nlohmann::json> json_lines(const Finished& finished) {
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  std::vector<nlohmann::json> values;
  for (const std::string& line : lines_of(finished.out)) values.push_back(nlohmann::json::parse(line));
  return values;
}

testing::AssertionResult failed_with(const Finished& finished, int exit_code, const std::string& text) {
  const bool one_line = lines_of(finished.err).size() == 1 && finished.err.ends_with('\n');
  if (finished.exit_code == exit_code && finished.out.empty() && one_line &&
      finished.err.starts_with("tokendraw: error: ") && finished.err.find(text) != std::string::npos) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "expected exit code " << exit_code << " and \"" << text << "\", got "
                                     << finished.exit_code << "\nstdout: " << finished.out
                                     << "\nstderr: " << finished.err;
}

std::string last_cpu_target() {
  std::string last;
  for (int32_t i = 0; const char* name = tokendraw_get_cpu_target_name(i); ++i) last = name;
  return last;
}

std::string data_path(const std::string& name) { return std::string(TOKENDRAW_TEST_DATA) + "/" + name; }

}  // namespace tokendraw::cli_test
