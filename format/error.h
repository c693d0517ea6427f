#pragma once
// What can go wrong with files: their content, or the file system.

#include <stdexcept>
#include <string>

namespace vitrail::format {

// The bytes are not what they must be: damaged, truncated, foreign, or of a newer format.
// code() is the verifier rule of SPEC.md that refused them ("V08"), or empty.
class FormatError : public std::runtime_error {
 public:
  explicit FormatError(const std::string& message, std::string code = {})
      : std::runtime_error(code.empty() ? message : message + " [" + code + "]"), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

  // The same error with the file's name before it, unless it is there already.
  static FormatError within(const std::string& file, const FormatError& error) {
    const std::string what = error.what();
    FormatError named(what.starts_with(file) ? what : file + ": " + what);
    named.code_ = error.code_;
    return named;
  }

 private:
  std::string code_;
};

// The file system said no: the message names path, operation and reason.
class FileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace vitrail::format
